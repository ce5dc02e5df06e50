package tenant

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"quicklime/wire/rest"
)

// savedBootLog is the JSON of "agent boot-log" with --output.
type savedBootLog struct {
	File   string `json:"file"`
	Epoch  string `json:"epoch"`
	Bytes  int    `json:"bytes"`
	Proven []int  `json:"proven"` // PCRs
}

func (p *program) agentBootLog() *cobra.Command {
	out := ""
	c := p.onAgent(&cobra.Command{
		Use:   "boot-log AGENT",
		Short: "Print the log of a machine's boot, as the verifier has it",
		Long: `Print the log of a machine's boot, as the verifier has it: the input of "boot-policy
create", "explain" and "test". It is the machine's word but for the PCRs that its quote
proves, which are told.

  quicklime-tenant agent boot-log web-17 | quicklime-tenant boot-policy explain -`,
	}, &reach{verifier: true}, func(ctx context.Context, s servers, id string) error {
		if _, err := s.enrolled(ctx, id); err != nil { // else "not found" could be of the log
			return err
		}
		l, err := s.verifier.BootLog(ctx, id)
		if err != nil {
			return err
		}
		return p.bootLogOf(l, out)
	})
	c.Flags().StringVarP(&out, "output", "o", "", "write to `FILE`, not to standard output")
	return c
}

// bootLogOf gives a boot log out as it is: nothing else can be in it.
func (p *program) bootLogOf(l rest.BootLog, out string) error {
	if out == "" {
		if p.json {
			return p.show(l, func(io.Writer) {})
		}
		if isTerminal(p.stdout) {
			return &usageError{"a boot log is no text", `write it to a file with --output, or pipe it into "boot-policy explain -"`}
		}
		p.say("the machine's last quote proves what it says of PCRs %v, and nothing else", l.Proven)
		_, err := p.stdout.Write(l.Log)
		return err
	}
	if err := os.WriteFile(out, l.Log, 0o644); err != nil {
		return err
	}
	return p.show(savedBootLog{out, l.Epoch, len(l.Log), l.Proven}, func(w io.Writer) {
		fmt.Fprintf(w, "wrote %s: %d bytes; the machine's last quote proves what it says of PCRs %v\n", printable(out), len(l.Log), l.Proven)
	})
}
