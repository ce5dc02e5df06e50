package tenant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"quicklime/tenant/client"
	"quicklime/wire/daemon"
	"quicklime/wire/rest"
)

// The exit codes.
const (
	exitDone       = 0
	exitFailed     = 1
	exitUsage      = 2
	exitOtherState = 3 // the agent is known and not in the state hoped for; policies differ, or entries would fail
)

// The codes of errors that are not a server's, beside those of package rest.
const (
	codeFailed      rest.Code = "failed"
	codeUsage       rest.Code = "usage"
	codeUnreachable rest.Code = "unreachable"
)

// errOtherState says that what was looked at is not in the state hoped for. Alone it
// needs no words: what the command printed says why.
var errOtherState = errors.New("not in the state hoped for")

// usageError is a mistake in how the program was called.
type usageError struct{ what, hint string }

func (u *usageError) Error() string { return u.what }

// usage makes a usage error about c.
func usage(c *cobra.Command, format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...), fmt.Sprintf("see %q", c.CommandPath()+" --help")}
}

// finish turns a command's error into words and an exit code.
func (p *program) finish(err error) int {
	switch err {
	case nil:
		return exitDone
	case errOtherState:
		return exitOtherState
	}
	e := describe(err)
	if p.json {
		p.writeError(e)
	} else {
		message := strings.TrimPrefix(e.Message, name+" ") // of a usage error about a command
		fmt.Fprintf(p.stderr, "%s: %s\n", name, printableLines(message))
		if e.Hint != "" {
			fmt.Fprintf(p.stderr, "hint: %s\n", printableLines(e.Hint))
		}
	}
	switch {
	case e.Code == codeUsage:
		return exitUsage
	case errors.Is(err, errOtherState):
		return exitOtherState
	}
	return exitFailed
}

// describe finds code, words and hint of an error. A hint of this program counts
// more than a server's: it knows what was being done.
func describe(err error) *rest.Error {
	e := &rest.Error{Code: codeFailed, Message: err.Error()}
	var (
		answer  *rest.Error
		wrong   *usageError
		nowhere *client.Unreachable
	)
	switch {
	case errors.As(err, &wrong):
		e.Code, e.Hint = codeUsage, wrong.hint
	case errors.As(err, &nowhere):
		e.Code, e.Hint = codeUnreachable, nowhere.Hint
	case errors.As(err, &answer):
		e.Code, e.Hint = answer.Code, answer.Hint
	case errors.Is(err, context.Canceled):
		e.Message = "interrupted"
	}
	if hint := daemon.Hint(err); hint != "" {
		e.Hint = hint
	}
	return e
}

// writeError writes e as JSON on standard error.
func (p *program) writeError(e *rest.Error) {
	b, err := json.Marshal(rest.ErrorBody{Error: e})
	if err != nil {
		b = []byte(`{"error":{"code":"failed","message":"the error cannot be written as JSON"}}`)
	}
	fmt.Fprintf(p.stderr, "%s\n", printableJSON(b))
}

// isCode reports whether a server answered with code.
func isCode(err error, code rest.Code) bool {
	var e *rest.Error
	return errors.As(err, &e) && e.Code == code
}

// warn tells the operator something that is not what was asked for.
func (p *program) warn(format string, args ...any) {
	p.say("warning: "+format, args...)
}

// say tells the operator how it goes.
func (p *program) say(format string, args ...any) {
	line := printableLines(fmt.Sprintf(format, args...))
	fmt.Fprintln(p.stderr, strings.TrimRight(line, "\n"))
}
