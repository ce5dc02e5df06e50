package daemon

import (
	"errors"
	"fmt"
	"io"
)

// hinted is an error with what a person can do about it.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// WithHint says what a person can do about err. A nil err stays nil.
func WithHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return hinted{err, fmt.Sprintf(format, args...)}
}

// Hint returns what a person can do about err, or "". The outermost hint counts:
// it knows most about what was being done.
func Hint(err error) string {
	h, _ := errors.AsType[hinted](err)
	return h.hint
}

// failure marks an error of a command that was understood.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// Failed marks err as that of a command that was understood, and failed. A nil
// err stays nil.
func Failed(err error) error {
	if err == nil {
		return nil
	}
	return failure{err}
}

// ExitCode is ExitFailed for what Failed marked, ExitUsage for any other error.
func ExitCode(err error) int {
	if err == nil {
		return ExitDone
	}
	if _, ok := errors.AsType[failure](err); ok {
		return ExitFailed
	}
	return ExitUsage
}

// Complain tells a person of err and, on a line of its own, what to do about it.
func Complain(w io.Writer, program string, err error) {
	fmt.Fprintf(w, "%s: %s\n", program, PrintableLines(err.Error()))
	if hint := Hint(err); hint != "" {
		fmt.Fprintf(w, "hint: %s\n", PrintableLines(hint))
	}
}
