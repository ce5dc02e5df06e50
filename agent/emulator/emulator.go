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
	"io"
	"os/exec"
	"os/signal"
	"syscall"

	"quicklime/wire/daemon"
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
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		return exit.ExitCode()
	}
	code := daemon.ExitCode(err)
	if code == daemon.ExitUsage {
		err = daemon.WithHint(err, "%s --help", program)
	}
	if err != nil {
		daemon.Complain(stderr, program, err)
	}
	return code
}
