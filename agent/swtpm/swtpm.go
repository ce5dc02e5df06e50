// Package swtpm makes and runs software TPMs, for development and tests. A
// software TPM proves nothing about a machine: whoever runs it has its keys.
//
// Everything is below one directory:
//
//	state/     the TPM's non-volatile memory: its seeds, and so its keys
//	ca/        the CA that certified its EKs, made with it
//	etc/, tmp/ what swtpm_setup reads and writes
//	tpm.sock   TPM commands; the device is "unix:DIR/tpm.sock"
//	ctrl.sock  swtpm's control channel, for swtpm_ioctl
//	lock       held while the TPM runs
//
// The programs are swtpm and swtpm_setup, 0.7 or later, of Debian's packages
// swtpm and swtpm-tools.
package swtpm

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"quicklime/agent/tpmdev"
)

// Device returns the name under which tpmdev opens the TPM below dir.
func Device(dir string) string { return tpmdev.SocketPrefix + filepath.Join(dir, serverSocket) }

// Anchors returns the files with the certificates of the CA that certified the
// EKs of the TPM below dir: the root, then the CA that issued them. They are PEM.
func Anchors(dir string) []string {
	return []string{
		filepath.Join(dir, caDir, "swtpm-localca-rootca-cert.pem"),
		filepath.Join(dir, caDir, "issuercert.pem"),
	}
}

const (
	stateDir      = "state"
	caDir         = "ca"
	etcDir        = "etc"
	tmpDir        = "tmp"
	serverSocket  = "tpm.sock"
	controlSocket = "ctrl.sock"
)

// ErrNotInstalled says that a program of swtpm is missing.
var ErrNotInstalled = errors.New("install Debian's packages swtpm and swtpm-tools")

func program(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w: %w", err, ErrNotInstalled)
	}
	return filepath.Abs(path)
}

// maxSocketPath is the longest path of a Unix socket (unix(7): sun_path, with its
// final NUL).
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1 // bytes

// usable returns dir as an absolute path, or why it cannot hold a TPM.
func usable(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if strings.ContainsAny(dir, ",\n") {
		return "", fmt.Errorf("directory %q: swtpm cannot use a path with a comma or a line break", dir)
	}
	if n := len(filepath.Join(dir, controlSocket)) - maxSocketPath; n > 0 {
		return "", fmt.Errorf("directory %s: its path is %d bytes too long for a Unix socket in it: use a shorter one", dir, n)
	}
	return dir, nil
}
