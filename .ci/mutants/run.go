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
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// testTimeout bounds one test: the slowest takes some seconds.
	testTimeout = 2 * time.Minute

	// atOnce is how many mutants are built and tested at one time.
	atOnce = 2
)

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
	took time.Duration
}

// unchanged runs the tests of all mutants on the product as it is: each must
// exist and pass, or its failure would say nothing.
func (r runner) unchanged(mutants []mutant) error {
	var names, packages []string
	for _, m := range mutants {
		names, packages = append(names, m.test), append(packages, "./"+m.pkg)
	}
	slices.Sort(packages)
	slices.Sort(names)
	fmt.Fprintf(r.out, "%d mutants; first their tests, unchanged\n", len(mutants))
	out, _ := r.test("", "^("+strings.Join(slices.Compact(names), "|")+")$", append([]string{"-json", "-p", fmt.Sprint(atOnce)}, slices.Compact(packages)...)...)
	passed, output, err := passes(out)
	if err != nil {
		return err
	}
	for _, m := range mutants {
		if !passed[m.pkg+" "+m.test] {
			return fmt.Errorf("%s: %s in %s does not pass on the product as it is:\n%s", m.at, m.test, m.pkg, output)
		}
	}
	return nil
}

// passes reads what "go test -json" tells: which tests passed, as "package test"
// with the package's path in the module, and what they said that did not.
func passes(b []byte) (map[string]bool, string, error) {
	passed := map[string]bool{}
	var said strings.Builder
	d := json.NewDecoder(bytes.NewReader(b))
	for {
		var e struct{ Action, Package, Test, Output string }
		if err := d.Decode(&e); errors.Is(err, io.EOF) {
			return passed, said.String(), nil
		} else if err != nil {
			return nil, "", fmt.Errorf("go test -json: %w: %s", err, b)
		}
		_, pkg, _ := strings.Cut(e.Package, "/")
		if e.Action == "pass" && e.Test != "" {
			passed[pkg+" "+e.Test] = true
		}
		said.WriteString(e.Output)
	}
}

// all tests every mutant and tells of each as it is done. The error says how many
// were not killed.
func (r runner) all(mutants []mutant) error {
	began := time.Now()
	done := make(chan outcome)
	go func() {
		var g sync.WaitGroup
		defer close(done)
		defer g.Wait()
		room := make(chan struct{}, atOnce)
		for _, m := range mutants {
			room <- struct{}{}
			g.Go(func() {
				done <- r.one(m)
				<-room
			})
		}
	}()
	n, bad := 0, 0
	for o := range done {
		n++
		m := o.mutant
		fmt.Fprintf(r.out, "%4d/%d  %-8s %5.1fs  %-7s  %s: %s\n", n, len(mutants), o.verdict, o.took.Seconds(), strings.Join(m.invariants, " "), m.at, m.check)
		if o.verdict != killed {
			bad++
			fmt.Fprintf(r.out, "          %s in %s\n%s\n", m.test, m.pkg, o.output)
		}
	}
	fmt.Fprintf(r.out, "%d killed, %d not, in %.0f s\n", n-bad, bad, time.Since(began).Seconds())
	if bad > 0 {
		return fmt.Errorf("%d of %d checks can be removed and no test fails", bad, n)
	}
	return nil
}

// one tests one mutant.
func (r runner) one(m mutant) outcome {
	began := time.Now()
	verdict, output := r.try(m)
	return outcome{m, verdict, output, time.Since(began)}
}

func (r runner) try(m mutant) (verdict, output string) {
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return unclear, err.Error()
	}
	defer os.RemoveAll(dir)
	overlay, err := m.overlay(r.root, dir)
	if err != nil {
		return unclear, err.Error()
	}
	out, err := r.test(overlay, "^"+m.test+"$", "-p", "1", "./"+m.pkg)
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

// test runs the tests that pattern names. The product has no cgo, and without the
// tables for debuggers it is linked faster.
func (r runner) test(overlay, pattern string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", append([]string{"test", "-overlay", overlay, "-count=1", "-vet=off", "-ldflags=-s -w",
		"-timeout", r.timeout.String(), "-run", pattern}, args...)...)
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	return cmd.CombinedOutput()
}

// overlay writes the changed files into dir and returns the file that tells
// "go build -overlay" of them.
func (m mutant) overlay(root, dir string) (string, error) {
	changed := map[string]string{}
	for _, e := range m.edits {
		text, ok := changed[e.file]
		if !ok {
			b, err := os.ReadFile(filepath.Join(root, e.file))
			if err != nil {
				return "", err
			}
			text = string(b)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return "", fmt.Errorf("%s: %s has %d times, want once:\n%s", m.at, e.file, n, e.old)
		}
		changed[e.file] = strings.Replace(text, e.old, e.text(), 1)
	}
	replace := map[string]string{}
	for file, text := range changed {
		from, err := filepath.Abs(filepath.Join(root, file))
		if err != nil {
			return "", err
		}
		to := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
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
