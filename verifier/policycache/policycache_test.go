package policycache

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"quicklime/verifier/policy"
	"quicklime/wire/pcr"
)

var digest = pcr.SHA256.Sum([]byte("good"))

// text is a policy that allows one path.
func text(path string) []byte {
	return fmt.Appendf(nil, `{"meta":{"version":1},"excludes":["/tmp/.*"],"digests":{%q:["%x"]}}`, path, digest)
}

func open(t *testing.T, dir string) (*Cache, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	c, err := Open(dir, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return c, &log
}

func parse(t *testing.T, b []byte) *policy.Policy {
	t.Helper()
	p, err := policy.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// allows checks that p is the policy that allows a path.
func allows(t *testing.T, p *policy.Policy, err error, path string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if !p.JudgeFile([]byte(path), pcr.SHA256, digest).Verdict.OK() || p.JudgeFile([]byte("/other"), pcr.SHA256, digest).Verdict.OK() {
		t.Error("it is another policy")
	}
}

func notAsked() ([]byte, error) { return nil, errors.New("the text is asked for") }

func TestCompiledFormsOutliveTheProcess(t *testing.T) {
	dir := t.TempDir()
	first, _ := open(t, dir)
	d := parse(t, text("/bin/a")).Digest()
	p, err := first.Policy(d, func() ([]byte, error) { return text("/bin/a"), nil })
	allows(t, p, err, "/bin/a")
	second, log := open(t, dir)
	p, err = second.Policy(d, notAsked)
	allows(t, p, err, "/bin/a")
	again, err := second.Policy(d, notAsked)
	if again != p || err != nil || log.Len() > 0 {
		t.Errorf("%p, then %p, %v: %s", p, again, err, log)
	}
	info, err := os.Stat(second.file(d))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// What is not the form of that policy is never used.
func TestFilesThatDoNotLoadAreMadeAgain(t *testing.T) {
	good, other := parse(t, text("/bin/a")), parse(t, text("/bin/b"))
	form := good.Compiled()
	flipped := bytes.Clone(form)
	flipped[len(flipped)/2] ^= 1
	for name, b := range map[string][]byte{"empty": {}, "cut": form[:len(form)-1], "flipped": flipped, "another policy": other.Compiled(), "no form": []byte("x")} {
		t.Run(name, func(t *testing.T) {
			c, log := open(t, t.TempDir())
			if err := os.WriteFile(c.file(good.Digest()), b, 0o600); err != nil {
				t.Fatal(err)
			}
			p, err := c.Policy(good.Digest(), func() ([]byte, error) { return text("/bin/a"), nil })
			allows(t, p, err, "/bin/a")
			if !strings.Contains(log.String(), "made again") {
				t.Errorf("nobody is told: %s", log)
			}
			if now, err := os.ReadFile(c.file(good.Digest())); err != nil || !bytes.Equal(now, form) {
				t.Errorf("%d bytes, %v", len(now), err)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	c, _ := open(t, t.TempDir())
	d := parse(t, text("/bin/a")).Digest()
	wrong := errors.New("no such policy")
	if _, err := c.Policy(d, func() ([]byte, error) { return nil, wrong }); !errors.Is(err, wrong) {
		t.Errorf("the text's error is %v", err)
	}
	if _, err := c.Policy(d, func() ([]byte, error) { return text("/bin/b"), nil }); err == nil {
		t.Error("another policy's text is taken")
	}
	for _, name := range []string{"", "../../etc/passwd", d[:63], strings.Repeat("g", 64)} {
		if _, err := c.Policy(name, func() ([]byte, error) { return text("/bin/b"), nil }); err == nil {
			t.Errorf("%q is taken for a digest", name)
		}
	}
}

// A policy is usable after its file was removed, and by those that have it.
func TestKeep(t *testing.T) {
	c, _ := open(t, t.TempDir())
	a, b := parse(t, text("/bin/a")), parse(t, text("/bin/b"))
	held := c.Add(a)
	c.Add(b)
	if err := os.WriteFile(filepath.Join(c.dir, "left.tmp"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Keep([]string{b.Digest()}); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(c.dir)
	if err != nil || len(left) != 1 || left[0].Name() != filepath.Base(c.file(b.Digest())) {
		t.Errorf("%v, %v", left, err)
	}
	if _, err := os.Stat(c.file(a.Digest())); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	runtime.GC()
	allows(t, held, nil, "/bin/a")
	p, err := c.Policy(b.Digest(), notAsked)
	allows(t, p, err, "/bin/b")
}

// A mapping lives as long as its policy, and no longer is anything read of it.
func TestMappingsEndWithTheirPolicies(t *testing.T) {
	c, _ := open(t, t.TempDir())
	for i := range 200 {
		path := fmt.Sprintf("/bin/%d", i)
		p := c.Add(parse(t, text(path)))
		if err := c.Keep(nil); err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		allows(t, p, nil, path)
	}
}

func TestManyAskAtOnce(t *testing.T) {
	c, _ := open(t, t.TempDir())
	d := parse(t, text("/bin/a")).Digest()
	var asked atomic.Int32
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			p, err := c.Policy(d, func() ([]byte, error) { asked.Add(1); return text("/bin/a"), nil })
			if err != nil || p.Digest() != d {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("the text was asked for %d times", n)
	}
}

// A directory that cannot be written costs time and nothing else.
func TestADirectoryThatIsGone(t *testing.T) {
	c, log := open(t, filepath.Join(t.TempDir(), "policies"))
	if err := os.RemoveAll(c.dir); err != nil {
		t.Fatal(err)
	}
	p := c.Add(parse(t, text("/bin/a")))
	allows(t, p, nil, "/bin/a")
	if !strings.Contains(log.String(), "in memory only") {
		t.Errorf("nobody is told: %s", log)
	}
}

// I05: whoever can put a compiled policy into the directory decides what is trusted.
func TestI05_DirectoryThatOthersWriteIsRefused(t *testing.T) {
	for _, mode := range []os.FileMode{0o720, 0o702, 0o777} {
		dir := filepath.Join(t.TempDir(), "policies")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "run: rm -r "+dir) {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
}
