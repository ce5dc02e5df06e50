package tpmdev_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"quicklime/agent/swtpm"
	"quicklime/agent/swtpm/swtpmtest"
	"quicklime/agent/tpmdev"
	"quicklime/wire/pcr"
	"quicklime/wire/tpm"
)

func TestMain(m *testing.M) { os.Exit(swtpmtest.Main(m)) }

// created makes a TPM and returns its directory.
func created(t *testing.T) string {
	t.Helper()
	return swtpmtest.Create(t, pcr.SHA1, pcr.SHA256)
}

func opened(t *testing.T, p *swtpm.TPM) *tpmdev.Device {
	t.Helper()
	d, err := tpmdev.Open(p.Device())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func newDevice(t *testing.T) (*tpmdev.Device, *swtpm.TPM) {
	t.Helper()
	p := swtpmtest.Start(t, created(t))
	return opened(t, p), p
}

func parsed(t *testing.T, public []byte, err error) tpm.Public {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	k, err := tpm.ParsePublic(public)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// raw is the socket itself, as another program would use it.
func raw(p *swtpm.TPM) tpmdev.Socket {
	return tpmdev.Socket(p.Device()[len(tpmdev.SocketPrefix):])
}

func TestTemplates(t *testing.T) {
	d, _ := newDevice(t)
	public, err := d.AK()
	if ak := parsed(t, public, err); !ak.Matches(tpm.AKTemplate()) {
		t.Errorf("the AK is not of its template: %+v", ak.Area())
	}
	tk, err := d.Transport()
	if err != nil {
		t.Fatal(err)
	}
	if !parsed(t, tk.PublicArea(), nil).Matches(tpm.TransportTemplate()) {
		t.Error("the transport key is not of its template")
	}
}

// TestEndorsementWithoutCertificate hides the certificate indices one by one.
func TestOpenErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		device, want string
	}{
		{"unix:" + file + ".none", "no such file or directory (start the TPM emulator, or name another device)"},
		{"unix:" + file, "connection refused (the TPM emulator that made this socket has ended: start it again)"},
		{"/dev/tpm0", "the device has no resource manager: use /dev/tpmrm0"},
		{file, "TPM file is not a device"},
		{file + ".none", "no such file or directory (is there a TPM 2.0, and is it enabled in the firmware's setup?)"},
	} {
		d, err := tpmdev.Open(tt.device)
		if err == nil {
			d.Close()
			t.Errorf("%s opens", tt.device)
		} else if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %q, want %q in it", tt.device, err, tt.want)
		}
	}
}

func TestClosed(t *testing.T) {
	d, p := newDevice(t)
	tk, err := d.Transport()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.AK(); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if n := loaded(t, p); n != 0 {
		t.Errorf("%d objects are still loaded", n)
	}
	if _, err := tk.TLSCertificate(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the transport key of a closed device signs: %v", err)
	}
}

// TestConcurrent has two programs and several goroutines of each at one TPM,
// more than its queue holds.
func TestConcurrent(t *testing.T) {
	d, p := newDevice(t)
	shared, err := tpmdev.OpenShared(p.Device())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, _, err := d.Quote(pcr.Selection{{Bank: pcr.SHA256, PCRs: pcr.Of(10)}}, nil); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if _, err := shared.BootCounters(); err != nil {
				t.Error(err)
			}
			other, err := tpmdev.OpenShared(p.Device())
			if err != nil {
				t.Error(err)
				return
			}
			other.Close()
		})
	}
	wg.Wait()
}

// TestHierarchyPassword has an owner who set a password for the endorsement
// hierarchy.
func TestHierarchyPassword(t *testing.T) {
	d, p := newDevice(t)
	setPassword(t, p, "", "secret")
	if _, err := d.AK(); err == nil || !strings.Contains(err.Error(), "(the hierarchy has a password)") {
		t.Errorf("error %v", err)
	}
}
