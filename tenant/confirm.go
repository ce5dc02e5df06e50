package tenant

import (
	"bufio"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// A confirmation is the --yes of a command that cannot be undone.
type confirmation struct{ yes bool }

func (c *confirmation) flag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&c.yes, "yes", false, "do it without asking")
}

// errRefused says that the operator thought better of it.
var errRefused = errors.New("nothing was changed")

// ask returns nil if the operator wants what will be done. Without --yes it asks
// on a terminal; a program that does not say --yes gets a usage error.
func (c *confirmation) ask(p *program, what string) error {
	if c.yes {
		return nil
	}
	if p.json || !isTerminal(p.stdin) {
		return &usageError{what + " needs your consent", "repeat the command with --yes"}
	}
	fmt.Fprintf(p.stderr, "%s? [y/N] ", printable(what))
	answer, err := bufio.NewReader(p.stdin).ReadString('\n')
	if err != nil {
		return errRefused
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errRefused
}
