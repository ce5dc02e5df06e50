package emulator_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/agent/emulator"
	"quicklime/agent/swtpm"
	"quicklime/agent/swtpm/swtpmtest"
	"quicklime/agent/tpmdev"
	"quicklime/ima"
	"quicklime/wire/pcr"
)

func TestMain(m *testing.M) { os.Exit(swtpmtest.Main(m)) }

const captures = "../../testdata/captures/"

// pcrs is PCR values by bank and index.
type pcrs map[pcr.Bank]map[int]string

// capturedPCRs reads pcrs.txt.
func capturedPCRs(t testing.TB, name string) pcrs {
	t.Helper()
	f, err := os.Open(captures + name + "/pcrs.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := make(pcrs)
	var bank pcr.Bank
	for s := bufio.NewScanner(f); s.Scan(); {
		left, right, _ := strings.Cut(s.Text(), ":")
		if b, err := pcr.ParseBank(left); err == nil {
			bank = b
			continue
		}
		i, err := strconv.Atoi(strings.TrimSpace(left))
		if err != nil {
			t.Fatalf("%s: %q", f.Name(), s.Text())
		}
		if out[bank] == nil {
			out[bank] = make(map[int]string)
		}
		out[bank][i] = strings.ToLower(strings.TrimPrefix(right, " 0x"))
	}
	return out
}

func (p pcrs) banks() (banks []pcr.Bank) {
	for _, b := range pcr.Banks {
		if p[b] != nil {
			banks = append(banks, b)
		}
	}
	return banks
}

// readPCRs reads all PCRs of the banks.
func readPCRs(t testing.TB, device string, banks ...pcr.Bank) pcrs {
	t.Helper()
	d, err := tpmdev.OpenShared(device)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	out := make(pcrs)
	for _, b := range banks {
		out[b] = make(map[int]string)
		v, err := d.ReadPCRs(pcr.Selection{{Bank: b, PCRs: pcr.Range(0, 23)}})
		if err != nil {
			t.Fatal(err)
		}
		for i := range pcr.Count {
			value, _ := v.Get(b, i)
			out[b][i] = hex.EncodeToString(value)
		}
	}
	return out
}

// captured reads what a boot was captured as.
func captured(t testing.TB, name string) (c emulator.Captured) {
	t.Helper()
	var err error
	if c.Log, err = emulator.ReadBootLog(captures + name + "/binary_bios_measurements"); err != nil {
		t.Fatal(err)
	}
	c.List, err = emulator.ReadList(captures + name + "/binary_runtime_measurements")
	if errors.Is(err, fs.ErrNotExist) {
		c.List, err = emulator.ReadList(captures + name + "/binary_runtime_measurements.gz")
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func machine(t testing.TB, p *swtpm.TPM, root string) *emulator.Machine {
	t.Helper()
	m, err := emulator.Open(emulator.Config{Device: p.Device(), Root: root})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func quiet(int, int) {}

func content(t testing.TB, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestBoot boots every capture and compares all PCRs with those that its
// machine had.
func TestBoot(t *testing.T) {
	for _, name := range []string{
		"direct-6.1-ima-ng", "direct-6.1-ima-sig", "direct-6.1-sha256only", "ovmf-6.1-ima-ng",
		"ovmf-secureboot-6.1", "reboot-1", "reboot-2", "bench-20k-tpm",
	} {
		t.Run(name, func(t *testing.T) {
			want := capturedPCRs(t, name)
			p := swtpmtest.New(t, want.banks()...)
			root, c := t.TempDir(), captured(t, name)
			var last int
			done, err := machine(t, p, root).Boot(t.Context(), c, func(done, _ int) { last = done })
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d events and %d entries in %v", done.Events, done.Entries, done.Duration)
			if diff := cmp.Diff(want, readPCRs(t, p.Device(), want.banks()...)); diff != "" {
				t.Errorf("PCRs (-captured +emulated):\n%s", diff)
			}
			if !bytes.Equal(content(t, root, "binary_bios_measurements"), c.Log) || !bytes.Equal(content(t, root, "binary_runtime_measurements"), c.List) {
				t.Error("what the machine shows is not what was captured")
			}
			count := strings.TrimSpace(string(content(t, captures, name, "runtime_measurements_count")))
			if got := string(content(t, root, "runtime_measurements_count")); got != strconv.Itoa(done.Entries)+"\n" || last != done.Entries || name != "bench-20k-tpm" && count != strconv.Itoa(done.Entries) {
				t.Errorf("count %q, %d entries, progress to %d, captured %s", got, done.Entries, last, count)
			}
		})
	}
}

// TestBootTwice wants a restart between two boots, and a reboot to replace what
// the machine shows.
func TestBootTwice(t *testing.T) {
	dir, root := swtpmtest.Create(t, pcr.SHA1, pcr.SHA256), t.TempDir()
	p := swtpmtest.Start(t, dir)
	first := captured(t, "ovmf-6.1-ima-ng")
	if _, err := machine(t, p, root).Boot(t.Context(), first, quiet); err != nil {
		t.Fatal(err)
	}
	held, err := os.Open(filepath.Join(root, "binary_runtime_measurements"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	for _, c := range []emulator.Captured{first, {}, {List: first.List}} {
		if _, err := machine(t, p, root).Boot(t.Context(), c, quiet); err == nil || !strings.Contains(err.Error(), "has booted") {
			t.Errorf("a second boot: %v", err)
		}
	}
	if !bytes.Equal(content(t, root, "binary_runtime_measurements"), first.List) {
		t.Error("a refused boot changed the list")
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	p = swtpmtest.Start(t, dir)
	second := captured(t, "reboot-2")
	second.Log = nil
	if _, err := machine(t, p, root).Boot(t.Context(), second, quiet); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "binary_bios_measurements")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the boot log of the last boot is still shown: %v", err)
	}
	now, err := os.Stat(filepath.Join(root, "binary_runtime_measurements"))
	if err != nil {
		t.Fatal(err)
	}
	if was, err := held.Stat(); err != nil || os.SameFile(was, now) || was.Size() != int64(len(first.List)) {
		t.Errorf("who has the old list open no longer sees it: %v %v", was, err)
	}
}

// TestBootAfterFirmware finds PCRs of the firmware extended: by a boot that
// failed, or by a real one, which leaves no log to emulate.
func TestBootAfterFirmware(t *testing.T) {
	p, root, c := swtpmtest.New(t, pcr.SHA256), t.TempDir(), captured(t, "reboot-1")
	d, err := tpmdev.OpenShared(p.Device())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Extend(9, map[pcr.Bank][]byte{pcr.SHA256: make([]byte, 32)}); err != nil {
		t.Fatal(err)
	}
	if _, err := machine(t, p, root).Boot(t.Context(), c, quiet); err == nil || !strings.Contains(err.Error(), "has booted") {
		t.Errorf("with a log: %v", err)
	}
	if _, err := machine(t, p, root).Boot(t.Context(), emulator.Captured{List: c.List}, quiet); err != nil {
		t.Errorf("without: %v", err)
	}
}

// TestBootWithoutList has the emulator make the boot_aggregate that the kernel
// made: reboot-1 tells which.
func TestBootWithoutList(t *testing.T) {
	c := captured(t, "reboot-1")
	want, _, err := ima.ParseEntry(c.List)
	if err != nil {
		t.Fatal(err)
	}
	p, root := swtpmtest.New(t, pcr.SHA1, pcr.SHA256), t.TempDir()
	if _, err := machine(t, p, root).Boot(t.Context(), emulator.Captured{Log: c.Log}, quiet); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.AppendTo(nil), content(t, root, "binary_runtime_measurements")); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
}

// TestBootSHA1Only has no SHA-256 bank: the aggregate is over PCRs 0–7.
func TestBootSHA1Only(t *testing.T) {
	p, root := swtpmtest.New(t, pcr.SHA1), t.TempDir()
	if _, err := machine(t, p, root).Boot(t.Context(), emulator.Captured{Log: captured(t, "ovmf-6.1-ima-ng").Log}, quiet); err != nil {
		t.Fatal(err)
	}
	var values []byte
	for i := range 8 {
		v, err := hex.DecodeString(capturedPCRs(t, "ovmf-6.1-ima-ng")[pcr.SHA1][i])
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, v...)
	}
	want := ima.NewFileEntry(pcr.SHA1, pcr.SHA1.Sum(values), ima.BootAggregate).AppendTo(nil)
	if diff := cmp.Diff(want, content(t, root, "binary_runtime_measurements")); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
}

// TestBootRefusesBeforeItChanges gives a boot that cannot be emulated, and wants
// the TPM untouched.
func TestBootRefusesBeforeItChanges(t *testing.T) {
	c := captured(t, "reboot-1")
	e, n, err := ima.ParseEntry(c.List)
	if err != nil {
		t.Fatal(err)
	}
	e.PCR = 11
	for name, tt := range map[string]struct {
		captured emulator.Captured
		banks    []pcr.Bank
		want     string
	}{
		"bank of the TPM is not in the log": {c, []pcr.Bank{pcr.SHA256, pcr.SHA384}, "no sha384 digest"},
		"log is cut":                        {emulator.Captured{Log: c.Log[:len(c.Log)-1], List: c.List}, []pcr.Bank{pcr.SHA256}, "boot log"},
		"list is cut":                       {emulator.Captured{Log: c.Log, List: c.List[:n-1]}, []pcr.Bank{pcr.SHA256}, "ends inside an entry"},
		"another PCR":                       {emulator.Captured{Log: c.Log, List: e.AppendTo(nil)}, []pcr.Bank{pcr.SHA256}, "for another PCR"},
		"empty log":                         {emulator.Captured{Log: []byte{}, List: c.List}, []pcr.Bank{pcr.SHA256}, "boot log"},
	} {
		t.Run(name, func(t *testing.T) {
			p, root := swtpmtest.New(t, tt.banks...), t.TempDir()
			before := readPCRs(t, p.Device(), pcr.SHA256)
			if _, err := machine(t, p, root).Boot(t.Context(), tt.captured, quiet); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
			if diff := cmp.Diff(before, readPCRs(t, p.Device(), pcr.SHA256)); diff != "" {
				t.Errorf("PCRs changed:\n%s", diff)
			}
		})
	}
}

func BenchmarkBoot20k(b *testing.B) {
	c := captured(b, "bench-20k-tpm")
	dir := swtpmtest.Create(b, pcr.SHA1, pcr.SHA256)
	for b.Loop() {
		b.StopTimer()
		p, err := swtpm.Start(b.Context(), dir)
		if err != nil {
			b.Fatal(err)
		}
		m := machine(b, p, b.TempDir())
		b.StartTimer()
		if _, err := m.Boot(b.Context(), c, quiet); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := p.Kill(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
