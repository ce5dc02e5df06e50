package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// testTimeout bounds one test: the slowest takes some seconds.
const testTimeout = 2 * time.Minute

// What became of a mutant.
const (
	killed   = "killed"
	survived = "SURVIVED"
	unbuilt  = "DID NOT BUILD"
	hung     = "HUNG" // its test must fail, not wait
	unclear  = "UNCLEAR"
)

// runner runs tests of the module at root.
type runner struct {
	root    string
	out     io.Writer
	timeout time.Duration
}

// outcome is what became of one mutant.
type outcome struct {
	mutant mutant
	verdict,
	output string
	alone bool // built by itself
	took  time.Duration
}

// programs is a schema's tests, compiled into a folder: one program a package.
type programs struct {
	schema
	dir string
}

func (p programs) of(pkg string) string {
	return filepath.Join(p.dir, strings.ReplaceAll(pkg, "/", "_")+".test")
}

// compile compiles the tests of all mutants. What does not compile is struck from
// the schema first, by what the compiler says of it.
func (r runner) compile(mutants []mutant, dir string) (programs, error) {
	p := programs{newSchema(r.root, mutants), dir}
	packages := packagesOf(mutants)
	paths := make([]string, len(packages))
	for i, pkg := range packages {
		paths[i] = "./" + pkg
	}
	for {
		overlay, err := p.overlay(dir)
		if err != nil {
			return p, err
		}
		out, err := r.goTool("build", overlay, append([]string{"-o", os.DevNull}, paths...)...)
		if err == nil {
			return p, r.link(p, overlay, packages)
		}
		if !p.strike(out) {
			return p, fmt.Errorf("the product with its mutants does not build: %w\n%s", err, out)
		}
	}
}

func (r runner) link(p programs, overlay string, packages []string) error {
	return eachAtOnce(packages, func(pkg string) error {
		out, err := r.goTool("test", overlay, "-c", "-vet=off", "-o", p.of(pkg), "./"+pkg)
		if err != nil {
			return fmt.Errorf("the tests of %s do not build: %w\n%s", pkg, err, out)
		}
		return nil
	})
}

func packagesOf(mutants []mutant) []string {
	var all []string
	for _, m := range mutants {
		all = append(all, m.pkg)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// eachAtOnce calls do for each of some things, as many at one time as there are
// processors, and returns what went wrong.
func eachAtOnce[T any](things []T, do func(T) error) error {
	var g sync.WaitGroup
	errs := make([]error, len(things))
	room := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, thing := range things {
		room <- struct{}{}
		g.Go(func() {
			errs[i] = do(thing)
			<-room
		})
	}
	g.Wait()
	return errors.Join(errs...)
}

// unchanged runs the tests of all mutants with none of them chosen: each must
// exist and pass, or its failure would say nothing. It also shows that the schema
// is the product: what runs is each function to the letter, chosen as the others
// are.
func (r runner) unchanged(p programs) error {
	return eachAtOnce(packagesOf(p.mutants), func(pkg string) error {
		var tests []string
		for _, m := range p.mutants {
			if m.pkg == pkg && !slices.Contains(tests, m.test) {
				tests = append(tests, m.test)
			}
		}
		out, err := r.start(p, 0, pkg, strings.Join(tests, "|"))
		for _, test := range tests {
			if !bytes.Contains(out, []byte("--- PASS: "+test+" (")) {
				return fmt.Errorf("%s in %s does not pass on the product as it is: %v\n%s", test, pkg, err, out)
			}
		}
		return nil
	})
}

// all tests every mutant and tells of each as it is done. The error says how many
// were not killed.
func (r runner) all(p programs) error {
	began := time.Now()
	var telling sync.Mutex
	n, bad, alone := 0, 0, 0
	numbers := make([]int, len(p.mutants))
	for i := range numbers {
		numbers[i] = i + 1
	}
	err := eachAtOnce(numbers, func(number int) error {
		o := r.one(p, number)
		telling.Lock()
		defer telling.Unlock()
		n++
		m := o.mutant
		if o.alone {
			alone++
		}
		fmt.Fprintf(r.out, "%4d/%d  %-8s %5.1fs  %-7s  %s: %s\n", n, len(p.mutants), o.verdict, o.took.Seconds(), strings.Join(m.invariants, " "), m.at, m.check)
		if o.verdict != killed {
			bad++
			fmt.Fprintf(r.out, "          %s in %s\n%s\n", m.test, m.pkg, o.output)
		}
		return nil
	})
	fmt.Fprintf(r.out, "%d killed, %d not, %d built by themselves, in %.0f s\n", n-bad, bad, alone, time.Since(began).Seconds())
	if bad > 0 {
		return fmt.Errorf("%d of %d checks can be removed and no test fails", bad, n)
	}
	return err
}

// one tests one mutant: chosen in the schema, and if it was not killed there, built
// by itself.
func (r runner) one(p programs, number int) outcome {
	began := time.Now()
	m := p.mutants[number-1]
	o := outcome{mutant: m, verdict: unclear}
	if p.switched[number-1] {
		out, err := r.start(p, number, m.pkg, m.test)
		o.verdict, o.output = judge(m, out, err)
	}
	if o.verdict != killed {
		o.alone = true
		o.verdict, o.output = r.alone(m)
	}
	o.took = time.Since(began)
	return o
}

// start runs tests of a package with a mutant chosen, as "go test" would.
func (r runner) start(p programs, number int, pkg, tests string) ([]byte, error) {
	cmd := exec.Command(p.of(pkg), "-test.paniconexit0", "-test.v", "-test.timeout", r.timeout.String(), "-test.run", "^("+tests+")$")
	cmd.Dir = filepath.Join(r.root, pkg)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", numberOf, number))
	return cmd.CombinedOutput()
}

// alone builds the test of a mutant with nothing else changed, and runs it.
func (r runner) alone(m mutant) (verdict, output string) {
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return unclear, err.Error()
	}
	defer os.RemoveAll(dir)
	overlay, err := m.overlay(r.root, dir)
	if err != nil {
		return unclear, err.Error()
	}
	out, err := r.goTool("test", overlay, "-p", "1", "-count=1", "-vet=off", "-timeout", r.timeout.String(), "-run", "^"+m.test+"$", "./"+m.pkg)
	return judge(m, out, err)
}

// judge tells what became of a mutant from what its test said.
func judge(m mutant, out []byte, err error) (verdict, output string) {
	failed := regexp.MustCompile(`(?m)^--- FAIL: ` + m.test + `\b|^panic: `) // of any goroutine
	switch {
	case err == nil:
		return survived, ""
	case bytes.Contains(out, []byte("[build failed]")) || bytes.Contains(out, []byte("[setup failed]")):
		return unbuilt, string(out)
	case bytes.Contains(out, []byte("panic: test timed out")):
		return hung, ""
	case failed.Match(out):
		return killed, ""
	}
	return unclear, string(out)
}

// goTool runs a command of go on changed files. The product has no cgo, and
// without the tables for debuggers it is linked faster.
func (r runner) goTool(command, overlay string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", append([]string{command, "-overlay", overlay, "-ldflags=-s -w"}, args...)...)
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	return cmd.CombinedOutput()
}

// overlay writes the changed files into dir and returns the file that tells
// "go build -overlay" of them.
func (m mutant) overlay(root, dir string) (string, error) {
	changed := map[string][]byte{}
	for _, e := range m.edits {
		text, ok := changed[e.file]
		if !ok {
			b, err := os.ReadFile(filepath.Join(root, e.file))
			if err != nil {
				return "", err
			}
			text = b
		}
		if n := bytes.Count(text, []byte(e.old)); n != 1 {
			return "", fmt.Errorf("%s: %s has %d times, want once:\n%s", m.at, e.file, n, e.old)
		}
		changed[e.file] = bytes.Replace(text, []byte(e.old), []byte(e.text()), 1)
	}
	return writeOverlay(root, dir, changed)
}

// writeOverlay writes changed files into dir, and the file that tells
// "go build -overlay" of them.
func writeOverlay(root, dir string, changed map[string][]byte) (string, error) {
	replace := map[string]string{}
	for file, text := range changed {
		from, err := filepath.Abs(filepath.Join(root, file))
		if err != nil {
			return "", err
		}
		to := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(to, text, 0o600); err != nil {
			return "", err
		}
		replace[from] = to
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, b, 0o600)
}
