// Package emulator is the IMA emulator: it stands in for firmware and kernel on
// machines without IMA. FOR DEVELOPMENT ONLY: it measures what it is told to
// measure, and a software TPM proves nothing about a machine.
//
// A machine is a TPM and a root directory, which holds what the kernel would
// show below /sys/kernel/security, under the same names and in the same formats:
//
//	binary_bios_measurements      the firmware's log, if it was booted with one
//	binary_runtime_measurements   the measurement list
//	runtime_measurements_count    how many entries that has
//	emulator.lock                 held by whoever changes list and TPM
//
// Like the kernel it appends to the list first and extends the PCR after, in
// every bank that is allocated; records a file once for each content it had; and
// writes "_" for each space in a path. Unlike the kernel it can be asked not to
// measure: do not ask it to protect anything.
package emulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"os/signal"
	"syscall"
)

const program = "quicklime-ima-emulator"

// Main runs the program and returns its exit code: 0 done, 1 failed, 2 usage;
// "exec" returns that of the command it ran.
func Main(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	root := command(stdout, stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var failed failure
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode()
	case errors.As(err, &failed):
		complain(stderr, err)
		return 1
	}
	complain(stderr, withHint(err, "%s --help", program))
	return 2
}

func complain(w io.Writer, err error) {
	fmt.Fprintf(w, "%s: %v\n", program, err)
	var h hinted
	if errors.As(err, &h) {
		fmt.Fprintf(w, "hint: %s\n", h.hint)
	}
}

// failure marks an error of a command that was understood.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// hinted is an error with what to do about it.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

func withHint(err error, format string, args ...any) error {
	return hinted{err, fmt.Sprintf(format, args...)}
}
