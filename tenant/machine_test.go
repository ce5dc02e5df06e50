package tenant

import (
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"quicklime/wire/rest"
	"quicklime/wire/tpm"
	"quicklime/wire/tpm/softtpm"
)

// area returns a TPMT_PUBLIC of the template with a fresh key in it.
func area(t *testing.T, template tpm2.TPMTPublic) []byte {
	t.Helper()
	b, _ := softtpm.Area(t, template)
	return b
}

// machine returns a registered machine whose identity checks.
func machine(t *testing.T, label string) rest.Machine {
	t.Helper()
	ek := area(t, tpm2.ECCEKTemplate)
	parsed, err := tpm.ParsePublic(ek)
	if err != nil {
		t.Fatal(err)
	}
	return rest.Machine{
		ID: parsed.AgentID(), Label: label, EKPublic: ek, EKTrusted: true, EKVendor: "id:49465800",
		AKPublic: area(t, tpm.AKTemplate()), Transport: area(t, tpm.TransportTemplate()),
		TokenID: "0123456789abcdef", RegisteredAt: now.Add(-time.Hour), SeenAt: now.Add(-5 * time.Minute),
	}
}

// register makes the registrar know m.
func (f *fake) register(m rest.Machine) rest.Machine {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.machines[m.ID] = m
	return m
}

// offer returns m after its TPM came with other keys.
func offer(t *testing.T, m rest.Machine) rest.Machine {
	t.Helper()
	m.Offered = &rest.Offered{
		AKPublic: area(t, tpm.AKTemplate()), Transport: area(t, tpm.TransportTemplate()),
		Count: 2, SeenAt: now.Add(-time.Minute),
	}
	return m
}

// want fails the test unless the run ended with code and both outputs are as
// given.
func (o outcome) want(t *testing.T, code int, stdout, stderr string) {
	t.Helper()
	if o.code != code || o.stdout != stdout || o.stderr != stderr {
		t.Errorf("exit code %d, want %d\nstdout:\n%swant:\n%sstderr:\n%swant:\n%s", o.code, code, o.stdout, stdout, o.stderr, stderr)
	}
}
