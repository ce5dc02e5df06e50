package emulator_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"quicklime/agent/emulator"
	"quicklime/agent/swtpm"
	"quicklime/agent/swtpm/swtpmtest"
	"quicklime/agent/tpmdev"
	"quicklime/ima"
	"quicklime/wire/pcr"
)

// booted is a machine with nothing but a boot_aggregate.
func booted(t *testing.T) (*emulator.Machine, *swtpm.TPM, string) {
	t.Helper()
	p, root := swtpmtest.New(t, pcr.SHA1, pcr.SHA256), t.TempDir()
	m := machine(t, p, root)
	if _, err := m.Boot(t.Context(), emulator.Captured{}, quiet); err != nil {
		t.Fatal(err)
	}
	return m, p, root
}

func file(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func digest(text string) string {
	h := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(h[:])
}

// inStep replays the list in every bank, compares with PCR 10, and returns how
// many entries there are.
func inStep(t *testing.T, p *swtpm.TPM, root string) (entries uint64) {
	t.Helper()
	got := readPCRs(t, p.Device(), pcr.SHA1, pcr.SHA256)
	for bank, values := range got {
		r, err := ima.Replay(ima.NewState(bank), content(t, root, "binary_runtime_measurements"))
		if err != nil {
			t.Fatal(err)
		}
		to := r.To()
		if want := hex.EncodeToString(to.PCR()); values[10] != want {
			t.Errorf("%v PCR 10 is %s, the list replays to %s", bank, values[10], want)
		}
		entries = to.Entries()
	}
	if count := string(content(t, root, "runtime_measurements_count")); count != fmt.Sprintln(entries) {
		t.Errorf("count %q for %d entries", count, entries)
	}
	return entries
}

func TestMeasure(t *testing.T) {
	m, p, root := booted(t)
	dir := t.TempDir()
	path := file(t, dir, "a file", "one")
	var got []emulator.Measurement
	for _, step := range []struct{ text, as string }{
		{"one", ""}, {"one", ""}, {"two", ""}, {"one", ""}, {"two", "/usr/bin/other"}, {"two", "/odd\x01name"},
	} {
		file(t, dir, "a file", step.text)
		r, err := m.Measure(t.Context(), path, step.as)
		if err != nil {
			t.Fatal(err)
		}
		if r.New == r.Time.IsZero() {
			t.Errorf("entry %d: new %v at %v", r.Index, r.New, r.Time)
		}
		got = append(got, r)
	}
	recorded := dir + "/a_file"
	want := []emulator.Measurement{
		{Index: 1, Digest: digest("one"), Path: recorded, New: true},
		{Index: 1, Digest: digest("one"), Path: recorded},
		{Index: 2, Digest: digest("two"), Path: recorded, New: true},
		{Index: 1, Digest: digest("one"), Path: recorded},
		{Index: 3, Digest: digest("two"), Path: "/usr/bin/other", New: true},
		{Index: 4, Digest: digest("two"), Path: `"/odd\x01name"`, New: true},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(emulator.Measurement{}, "Time")); diff != "" {
		t.Errorf("measurements (-want +got):\n%s", diff)
	}
	if n := inStep(t, p, root); n != 5 {
		t.Errorf("%d entries", n)
	}
	list := content(t, root, "binary_runtime_measurements")
	for i := 0; len(list) > 0; i++ {
		e, n, err := ima.ParseEntry(list)
		if err != nil {
			t.Fatal(err)
		}
		list = list[n:]
		ev, err := e.Event()
		if err != nil || i == 4 && string(ev.Name) != "/odd\x01name" || string(e.Template) != "ima-ng" {
			t.Errorf("entry %d: %q %+v %v", i, e.Template, ev, err)
		}
	}
}

func TestMeasureRefusals(t *testing.T) {
	m, p, root := booted(t)
	dir := t.TempDir()
	path := file(t, dir, "f", "text")
	for _, tt := range []struct{ path, as, want string }{
		{dir, "", "not a regular file"},
		{path + ".none", "", "no such file"},
		{path, "a\x00b", "no path like"},
		{path, strings.Repeat("a", 4096), "no path like"},
	} {
		if _, err := m.Measure(t.Context(), tt.path, tt.as); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s as %.20q: %v, want %q in it", tt.path, tt.as, err, tt.want)
		}
	}
	if n := inStep(t, p, root); n != 1 {
		t.Errorf("%d entries", n)
	}
	if _, err := machine(t, p, t.TempDir()).Measure(t.Context(), path, ""); err == nil || !strings.Contains(err.Error(), "has not booted") {
		t.Errorf("a machine without a list: %v", err)
	}
}

// TestRestartedTPM restarts the TPM under a machine that does not boot again.
func TestRestartedTPM(t *testing.T) {
	m, p, root := booted(t)
	path := file(t, t.TempDir(), "f", "text")
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	p = swtpmtest.Start(t, p.Dir())
	if _, err := m.Measure(t.Context(), path, ""); err == nil || !strings.Contains(err.Error(), "not booted since") {
		t.Errorf("measured: %v", err)
	}
	if _, err := machine(t, p, root).Boot(t.Context(), captured(t, "reboot-1"), quiet); err != nil {
		t.Fatal(err)
	}
	got, err := m.Measure(t.Context(), path, "") // by who had the old list open
	if err != nil || got.Index != 15 {
		t.Errorf("entry %d, want 15: %v", got.Index, err)
	}
	inStep(t, p, root)
}

// TestMeasureTogether has several emulators measure on one machine at once.
func TestMeasureTogether(t *testing.T) {
	_, p, root := booted(t)
	dir := t.TempDir()
	same := file(t, dir, "same", "same")
	const emulators, files = 4, 8
	var wg sync.WaitGroup
	for e := range emulators {
		m := machine(t, p, root)
		wg.Go(func() {
			for f := range files {
				name := fmt.Sprintf("%d-%d", e, f)
				for _, path := range []string{file(t, dir, name, name), same} {
					if _, err := m.Measure(t.Context(), path, ""); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if n := inStep(t, p, root); n != 1+emulators*files+1 {
		t.Errorf("%d entries, want %d", n, 1+emulators*files+1)
	}
}

func TestWatch(t *testing.T) {
	m, p, root := booted(t)
	dir, elsewhere := t.TempDir(), t.TempDir()
	file(t, dir, "before", "was there before")
	ctx, stop := context.WithCancel(t.Context())
	ready, got := make(chan bool), make(chan emulator.Measurement)
	ended := make(chan error)
	go func() {
		ended <- m.Watch(ctx, dir, func() { close(ready) }, func(m emulator.Measurement, err error) {
			if err != nil {
				t.Error(err)
			}
			got <- m
		})
	}()
	<-ready
	expect := func(path, text string) {
		t.Helper()
		m := <-got
		if diff := cmp.Diff([]string{path, digest(text)}, []string{m.Path, m.Digest}); diff != "" {
			t.Errorf("measured (-want +got):\n%s", diff)
		}
	}
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "directory"), 0o755), os.Symlink("/bin/sh", filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(t.TempDir(), filepath.Join(dir, "moved directory")); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "slow"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("half "); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file(t, elsewhere, "moved", "text"), filepath.Join(dir, "moved")); err != nil {
		t.Fatal(err)
	}
	expect(filepath.Join(dir, "moved"), "text") // and not half a file before it
	if _, err := f.WriteString("and half"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	expect(f.Name(), "half and half")
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := inStep(t, p, root); n != 3 {
		t.Errorf("%d entries", n)
	}
}

// interposer forwards commands to a TPM, except those that answer takes.
func interposer(t *testing.T, p *swtpm.TPM, answer func(command []byte) []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	tpm := tpmdev.Socket(strings.TrimPrefix(p.Device(), tpmdev.SocketPrefix))
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			command := make([]byte, 4096)
			n, err := c.Read(command)
			response := answer(command[:n])
			if err == nil && response == nil {
				response, err = tpm.Send(command[:n])
			}
			if _, e := io.Copy(c, bytes.NewReader(response)); e != nil || err != nil {
				t.Error(err, e)
			}
			c.Close()
		}
	})
	return tpmdev.SocketPrefix + path
}

func commandCode(command []byte) uint32 { return binary.BigEndian.Uint32(command[6:]) }

// TestExtendFails has the TPM refuse TPM2_PCR_Extend once the list has grown.
func TestExtendFails(t *testing.T) {
	_, p, root := booted(t)
	before := content(t, root, "binary_runtime_measurements")
	var appended bool
	device := interposer(t, p, func(command []byte) []byte {
		if commandCode(command) != 0x182 {
			return nil
		}
		appended = len(content(t, root, "binary_runtime_measurements")) > len(before)
		return []byte{0x80, 0x01, 0, 0, 0, 10, 0, 0, 1, 1} // TPM_RC_FAILURE
	})
	m, err := emulator.Open(emulator.Config{Device: device, Root: root})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	got, err := m.Measure(t.Context(), file(t, t.TempDir(), "f", "text"), "")
	if !errors.Is(err, emulator.ErrOutOfStep) || !got.New || got.Index != 1 {
		t.Errorf("%+v, error %v", got, err)
	}
	if !appended {
		t.Error("the PCR was extended before the list had the entry")
	}
}

// TestHardwareTPM has a TPM call itself another maker's.
func TestHardwareTPM(t *testing.T) {
	p := swtpmtest.New(t, pcr.SHA256)
	device := interposer(t, p, func(command []byte) []byte {
		if commandCode(command) != 0x17a || !bytes.HasSuffix(command, []byte{0, 0, 1, 5, 0, 0, 0, 1}) {
			return nil
		}
		return append([]byte{0x80, 0x01, 0, 0, 0, 27, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 1, 0, 0, 1, 5}, "INTC"...)
	})
	cfg := emulator.Config{Device: device, Root: t.TempDir()}
	if m, err := emulator.Open(cfg); err == nil || !strings.Contains(err.Error(), "is a hardware TPM (INTC)") {
		t.Errorf("opened: %v %v", m, err)
	}
	cfg.AllowHardware = true
	m, err := emulator.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
}

// TestLocked has a measurement wait for whoever holds the lock.
func TestLocked(t *testing.T) {
	m, p, root := booted(t)
	other := machine(t, p, root)
	path := file(t, t.TempDir(), "f", "text")
	holding, release := make(chan bool), make(chan bool)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := other.Hold(t.Context(), func() { close(holding); <-release }); err != nil {
			t.Error(err)
		}
	})
	<-holding
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := m.Measure(ctx, path, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("measured while another held the lock: %v", err)
	}
	close(release)
	if _, err := m.Measure(t.Context(), path, ""); err != nil {
		t.Error(err)
	}
	wg.Wait()
}
