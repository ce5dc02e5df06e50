package verifier

import (
	"io"

	"quicklime/wire/daemon"
)

// Main is the main of quicklime-verifier. It returns the exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	return daemon.Main("verifier", DefaultConfig(), Run, args, stdout, stderr)
}
