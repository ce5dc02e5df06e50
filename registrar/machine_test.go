package registrar_test

import (
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"quicklime/agent/swtpm"
	"quicklime/agent/tpmdev"
	"quicklime/wire/pcr"
)

// machine is a machine with a software TPM.
type machine struct {
	*tpmdev.Device
	tpm *swtpm.TPM
	t   *testing.T
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	dir := t.TempDir()
	if err := swtpm.Create(t.Context(), dir, []pcr.Bank{pcr.SHA256}); err != nil {
		t.Fatal(err)
	}
	p, err := swtpm.Start(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill() })
	m := &machine{tpm: p, t: t}
	m.open()
	return m
}

func (m *machine) open() {
	m.t.Helper()
	d, err := tpmdev.Open(m.tpm.Device())
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { d.Close() })
	m.Device = d
}

func (m *machine) socket() tpmdev.Socket {
	return tpmdev.Socket(strings.TrimPrefix(m.tpm.Device(), tpmdev.SocketPrefix))
}

// clear is TPM2_Clear, as a new owner does it.
func (m *machine) clear() {
	m.t.Helper()
	lockout := tpm2.AuthHandle{Handle: tpm2.TPMRHLockout, Auth: tpm2.PasswordAuth(nil)}
	if _, err := (tpm2.Clear{AuthHandle: lockout}).Execute(m.socket()); err != nil {
		m.t.Fatal(err)
	}
	m.Device.Close()
	m.open()
}

// without is a TPM that does not show its EK certificate.
type without struct{ *machine }

func (w without) Endorsement() (tpmdev.Endorsement, error) {
	e, err := w.machine.Endorsement()
	e.Certificates = nil
	return e, err
}

// withCertificate is a TPM that shows another certificate than its own.
type withCertificate struct {
	*machine
	der []byte
}

func (w withCertificate) Endorsement() (tpmdev.Endorsement, error) {
	e, err := w.machine.Endorsement()
	e.Certificates = [][]byte{w.der}
	return e, err
}
