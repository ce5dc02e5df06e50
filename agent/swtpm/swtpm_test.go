package swtpm_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quicklime/agent/swtpm"
	"quicklime/agent/swtpm/swtpmtest"
	"quicklime/agent/tpmdev"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// holdTPM makes the test program start the TPM below a directory and wait.
const holdTPM = "QUICKLIME_TEST_HOLD_TPM"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdTPM); dir != "" {
		p, err := swtpm.Start(context.Background(), dir)
		fmt.Println(err)
		<-p.Ended()
	}
	os.Exit(swtpmtest.Main(m))
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

func TestCreateBanks(t *testing.T) {
	for _, want := range [][]pcr.Bank{{pcr.SHA256}, {pcr.SHA1, pcr.SHA256}, {pcr.SHA256, pcr.SHA384, pcr.SHA512}} {
		got, err := opened(t, swtpmtest.New(t, want...)).ActiveBanks()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("banks (-want +got):\n%s", diff)
		}
	}
}

// TestCreateStaysInside makes a TPM in a directory whose name needs care, with
// a home that must not be used and nowhere else to write.
func TestCreateStaysInside(t *testing.T) {
	home := t.TempDir()
	dir := filepath.Join(t.TempDir(), "with space", "and 'quote")
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", home)
	t.Setenv("TMPDIR", filepath.Join(home, "none"))
	if err := swtpm.Create(t.Context(), dir, []pcr.Bank{pcr.SHA256}); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(home)
	if err != nil || len(left) != 0 {
		t.Errorf("left in the home directory: %v %v", left, err)
	}
	for _, f := range swtpm.Anchors(dir) {
		if b, err := os.ReadFile(f); err != nil || !strings.HasPrefix(string(b), "-----BEGIN CERTIFICATE-----") {
			t.Errorf("anchor %s: %.30q %v", f, b, err)
		}
	}
	p := swtpmtest.Start(t, dir)
	if maker, err := opened(t, p).Manufacturer(); err != nil || maker != "IBM" {
		t.Errorf("manufacturer %q, error %v", maker, err)
	}
	if err := swtpm.Create(t.Context(), dir, []pcr.Bank{pcr.SHA256}); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a second TPM in the same directory: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("d", 100))
	for dir, want := range map[string]string{
		long: "too long for a Unix socket", t.TempDir() + "/a,b": "comma", t.TempDir(): "create it first",
	} {
		if p, err := swtpm.Start(t.Context(), dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("start in %s: %v %v, want %q", dir, p, err, want)
		}
	}
	if err := swtpm.Create(t.Context(), long, []pcr.Bank{pcr.SHA256}); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("create in %s: %v", long, err)
	}
	if _, err := os.Stat(long); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused directory was made: %v", err)
	}
	if err := swtpm.Create(t.Context(), t.TempDir(), nil); err == nil {
		t.Error("a TPM without banks")
	}
}

func TestNotInstalled(t *testing.T) {
	dir := swtpmtest.Create(t, pcr.SHA256)
	t.Setenv("PATH", t.TempDir())
	if _, err := swtpm.Start(t.Context(), dir); !errors.Is(err, swtpm.ErrNotInstalled) {
		t.Errorf("start: %v", err)
	}
	if err := swtpm.Create(t.Context(), t.TempDir(), []pcr.Bank{pcr.SHA256}); !errors.Is(err, swtpm.ErrNotInstalled) {
		t.Errorf("create: %v", err)
	}
}

func TestPower(t *testing.T) {
	dir := swtpmtest.Create(t, pcr.SHA256)
	p := swtpmtest.Start(t, dir)
	first, err := opened(t, p).BootCounters()
	if err != nil {
		t.Fatal(err)
	}
	for i, off := range []func(*swtpm.TPM) error{(*swtpm.TPM).Stop, (*swtpm.TPM).Kill, (*swtpm.TPM).Stop} {
		if err := off(p); err != nil {
			t.Fatal(err)
		}
		if _, err := tpmdev.Open(p.Device()); err == nil {
			t.Error("a TPM that is off answers")
		}
		p = swtpmtest.Start(t, dir)
		got, err := opened(t, p).BootCounters()
		if want := (wire.BootCounters{Reset: first.Reset + uint32(i) + 1}); err != nil || got != want {
			t.Errorf("power cycle %d: counters %+v, want %+v, error %v", i, got, want, err)
		}
	}
}

func TestStartTwice(t *testing.T) {
	p := swtpmtest.New(t, pcr.SHA256)
	if _, err := swtpm.Start(t.Context(), p.Dir()); err == nil || !strings.Contains(err.Error(), "runs already") {
		t.Errorf("a second start: %v", err)
	}
	if _, err := opened(t, p).BootCounters(); err != nil {
		t.Errorf("it disturbed the first: %v", err)
	}
}

func TestEnded(t *testing.T) {
	p := swtpmtest.New(t, pcr.SHA256)
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.Ended()
	if err := p.Stop(); err == nil {
		t.Error("a TPM that had ended was stopped")
	}
}

func TestStartCancelled(t *testing.T) {
	dir := swtpmtest.Create(t, pcr.SHA256)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := swtpm.Start(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	swtpmtest.Start(t, dir) // the first was ended
}

// TestEndsWithItsProcess kills the process that started a TPM.
func TestEndsWithItsProcess(t *testing.T) {
	dir := swtpmtest.Create(t, pcr.SHA256)
	holder := exec.Command(os.Args[0])
	holder.Env = append(os.Environ(), holdTPM+"="+dir)
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "<nil>\n" {
		t.Fatalf("start in another process: %q %v", line, err)
	}
	if d, err := tpmdev.OpenShared(swtpm.Device(dir)); err != nil {
		t.Error(err)
	} else {
		d.Close()
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	holder.Wait()
	for t.Context().Err() == nil {
		d, err := tpmdev.OpenShared(swtpm.Device(dir))
		if err != nil {
			break
		}
		d.Close()
		time.Sleep(time.Millisecond)
	}
	swtpmtest.Start(t, dir)
}
