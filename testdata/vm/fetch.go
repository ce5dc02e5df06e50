package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"quicklime/wire/daemon"
)

// A source is a suite of the Debian archive. Its packages are downloaded and
// unpacked below the cache, beside what the machine has installed and without a
// change of its sources: a Debian 13 tests with the kernel of a Debian 12, too. What
// is there is not fetched again.
type source struct {
	suite string // "bookworm-backports"
	dir   string // of everything that is its own
}

func newSource(cache, suite string) source { return source{suite, filepath.Join(cache, suite)} }

// unpacked returns the directory with the contents of the package, or of the one that
// it stands for: linux-image-cloud-amd64 depends on the kernel of the day.
func (s source) unpacked(ctx context.Context, name string) (string, error) {
	dir := filepath.Join(s.dir, name)
	if _, err := os.Stat(dir); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return dir, err
	}
	if err := s.fetch(ctx, name, dir); err != nil {
		return "", daemon.WithHint(fmt.Errorf("package %s of %s: %w", name, s.suite, err),
			"the machine needs a Debian mirror that has %s, or its content in %s", s.suite, dir)
	}
	return dir, nil
}

func (s source) fetch(ctx context.Context, name, dir string) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	out, err := s.apt(ctx, "apt-cache", "depends", "--important", name)
	if err != nil {
		return err
	}
	if kernel := dependency(out, "linux-image-"); kernel != "" {
		name = kernel
	}
	work, err := os.MkdirTemp(s.dir, "unpacking-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if _, err := s.aptIn(ctx, work, "apt-get", "download", name); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("downloaded %q: %w", debs, errors.Join(err, errors.New("that is not one package")))
	}
	if _, err := output(ctx, "", "dpkg-deb", "-x", debs[0], filepath.Join(work, "content")); err != nil {
		return err
	}
	return os.Rename(filepath.Join(work, "content"), dir)
}

// dependency returns the first package in what "apt-cache depends" printed whose name
// begins so; empty: there is none.
func dependency(depends []byte, prefix string) string {
	for line := range strings.Lines(string(depends)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: "); ok && strings.HasPrefix(name, prefix) {
			return name
		}
	}
	return ""
}

// prepare reads the suite's lists of packages, from the mirror that the machine uses.
func (s source) prepare(ctx context.Context) error {
	for _, sub := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(s.dir, sub), 0o755); err != nil {
			return err
		}
	}
	mirror, err := mirror(ctx)
	if err != nil {
		return err
	}
	line := fmt.Sprintf("deb [signed-by=%s] %s %s main\n", keyring, mirror, s.suite)
	if err := os.WriteFile(filepath.Join(s.dir, "sources.list"), []byte(line), 0o644); err != nil {
		return err
	}
	_, err = s.apt(ctx, "apt-get", "update", "--error-on=any")
	return err
}

// keyring has Debian's keys of all suites (package debian-archive-keyring).
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// mirror returns where the machine gets Debian from.
func mirror(ctx context.Context) (string, error) {
	out, err := output(ctx, "", "apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(LABEL)", "Created-By: Packages", "Component: main")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 3 && f[1] == "Debian" && f[2] == "Debian" {
			return f[0], nil
		}
	}
	return "", daemon.WithHint(errors.New("this machine has no list of Debian's packages"), "run \"apt-get update\"; it has to be a Debian")
}

func (s source) apt(ctx context.Context, args ...string) ([]byte, error) {
	return s.aptIn(ctx, "", args...)
}

// aptIn runs a program of apt in a directory with the suite as its only source.
func (s source) aptIn(ctx context.Context, dir string, args ...string) ([]byte, error) {
	options := []string{"-q",
		"-o", "Dir::Etc::sourcelist=" + filepath.Join(s.dir, "sources.list"), "-o", "Dir::Etc::sourceparts=-",
		"-o", "Dir::State::lists=" + filepath.Join(s.dir, "lists"), "-o", "Dir::Cache=" + filepath.Join(s.dir, "cache"),
		"-o", "Acquire::Retries=3", "-o", "Acquire::http::Timeout=30",
	}
	if os.Getuid() == 0 {
		options = append(options, "-o", "APT::Sandbox::User=root") // the cache may be root's alone
	}
	return output(ctx, dir, args[0], append(options, args[1:]...)...)
}

// output runs a program in a directory (empty: this one) and returns what it
// printed; if it fails, the error has what it said.
func output(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	var out, said bytes.Buffer
	c := exec.CommandContext(ctx, name, args...)
	c.Dir, c.Stdout, c.Stderr = dir, &out, &said
	if err := c.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", name, args[0], err, bytes.TrimSpace(append(said.Bytes(), out.Bytes()...)))
	}
	return out.Bytes(), nil
}
