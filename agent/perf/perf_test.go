package perf

import (
	"context"
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// libc returns a shared C library and the offset of its function exit in the file.
func libc(t *testing.T) (path string, offset uint64) {
	t.Helper()
	found, _ := filepath.Glob("/lib*/*/libc.so.6")
	if len(found) == 0 {
		t.Skip("no C library to probe")
	}
	f, err := elf.Open(found[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range symbols {
		for _, p := range f.Progs {
			if s.Name == "exit" && p.Type == elf.PT_LOAD && s.Value >= p.Vaddr && s.Value < p.Vaddr+p.Filesz {
				return found[0], s.Value - p.Vaddr + p.Off
			}
		}
	}
	t.Fatalf("%s has no exit", found[0])
	return "", 0
}

// An uprobe differs from a kretprobe in the PMU and in what config1 and config2
// mean; rings, polling and the end are the same.
func TestAHitWakesUp(t *testing.T) {
	kind, err := os.ReadFile(filepath.Join(pmus, "uprobe", "type"))
	if err != nil {
		t.Skip("this kernel has no uprobe PMU")
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(kind)))
	if err != nil {
		t.Fatal(err)
	}
	path, offset := libc(t)
	name, err := unix.BytePtrFromString(path)
	if err != nil {
		t.Fatal(err)
	}
	e, err := open(unix.PerfEventAttr{Type: uint32(n), Ext1: uint64(uintptr(unsafe.Pointer(name))), Ext2: offset})
	runtime.KeepAlive(name)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
		t.Skipf("perf events are not granted: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ctx, cancel := context.WithCancel(t.Context())
	hit, done := make(chan struct{}, 1000), make(chan error, 1)
	go func() { done <- e.Run(ctx, func() { hit <- struct{}{} }) }()
	for range 20 {
		if err := exec.Command("/bin/true").Run(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-hit:
		case <-time.After(10 * time.Second):
			t.Fatal("a call of exit woke nobody")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestOpenReturnSaysWhyNot(t *testing.T) {
	e, err := OpenReturn("quicklime_is_no_function_of_the_kernel")
	if err == nil {
		e.Close()
		t.Fatal("a function that is not there is probed")
	}
	if !strings.Contains(err.Error(), "(") {
		t.Errorf("%v: does not say what to do", err)
	}
}

func TestTheKprobePMUIsReadAsTheKernelDescribesIt(t *testing.T) {
	dir := t.TempDir()
	if _, err := kretprobe(dir); !errors.Is(err, ErrNoPMU) {
		t.Error(err)
	}
	format := filepath.Join(dir, "kprobe", "format")
	if err := os.MkdirAll(format, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		kind, retprobe string
		want           unix.PerfEventAttr
	}{
		{"6\n", "config:0\n", unix.PerfEventAttr{Type: 6, Config: 1}},
		{"31\n", "config:3\n", unix.PerfEventAttr{Type: 31, Config: 8}},
		{"six\n", "config:0\n", unix.PerfEventAttr{}},
		{"6\n", "config1:0\n", unix.PerfEventAttr{}},
		{"6\n", "config:0-3\n", unix.PerfEventAttr{}},
		{"6\n", "config:64\n", unix.PerfEventAttr{}},
	} {
		for name, text := range map[string]string{filepath.Join(dir, "kprobe", "type"): c.kind, filepath.Join(format, "retprobe"): c.retprobe} {
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := kretprobe(dir)
		if got != c.want || (err == nil) != (c.want.Type != 0) {
			t.Errorf("%+v: %+v, %v", c, got, err)
		}
	}
}

func TestGrant(t *testing.T) {
	for _, c := range []struct{ paranoid, lockdown, want string }{
		{"2\n", "[none] integrity confidentiality\n", "grant CAP_PERFMON"},
		{"3\n", "none [integrity] confidentiality\n", "grant CAP_SYS_ADMIN"},
		{"", "", "grant CAP_SYS_ADMIN"},
		{"1\n", "none integrity [confidentiality]\n", "locked down"},
	} {
		if got := grant(c.paranoid, c.lockdown); !strings.Contains(got, c.want) {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestParseCPUs(t *testing.T) {
	for list, want := range map[string][]int{"0": {0}, "0-3": {0, 1, 2, 3}, "0,2-3,8": {0, 2, 3, 8}} {
		if got, err := parseCPUs(list); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%q: %v, %v", list, got, err)
		}
	}
	for _, list := range []string{"", "a", "3-1", "0,", "-1", "0-9999999", "0-8192"} {
		if got, err := parseCPUs(list); err == nil {
			t.Errorf("%q is accepted as %v", list, got)
		}
	}
}
