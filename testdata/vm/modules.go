package main

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// drivers are the modules that the guest needs, as far as its kernel does not have
// them built in.
var drivers = []string{"virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "ext4"}

// A module is a kernel module as the kernel loads it: not compressed.
type module struct {
	name  string
	image []byte
}

// moduleTree is a kernel package's modules.
type moduleTree struct {
	files   map[string]string // by name
	builtin map[string]bool
}

// moduleName is the name of a module's file as the kernel knows it: with "_" for "-".
func moduleName(path string) (string, bool) {
	name, _, ok := strings.Cut(filepath.Base(path), ".ko")
	return strings.ReplaceAll(name, "-", "_"), ok
}

// readModuleTree looks below lib/modules/RELEASE.
func readModuleTree(dir string) (t moduleTree, err error) {
	t = moduleTree{files: map[string]string{}, builtin: map[string]bool{}}
	list, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil {
		return t, err
	}
	for line := range strings.Lines(string(list)) {
		if name, ok := moduleName(strings.TrimSpace(line)); ok {
			t.builtin[name] = true
		}
	}
	return t, filepath.WalkDir(filepath.Join(dir, "kernel"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if name, ok := moduleName(path); ok {
			t.files[name] = path
		}
		return nil
	})
}

// load returns the modules of the names and what they depend on, each after what it
// needs.
func (t moduleTree) load(ctx context.Context, names []string) (modules []module, err error) {
	seen := map[string]bool{}
	var visit func(name string) error
	visit = func(name string) error {
		if seen[name] || t.builtin[name] {
			return nil
		}
		seen[name] = true
		m, needs, err := t.read(ctx, name)
		if err != nil {
			return err
		}
		for _, n := range needs {
			if err := visit(n); err != nil {
				return err
			}
		}
		modules = append(modules, m)
		return nil
	}
	for _, name := range names {
		if err := visit(name); err != nil {
			return nil, err
		}
	}
	return modules, nil
}

func (t moduleTree) read(ctx context.Context, name string) (m module, needs []string, err error) {
	path, ok := t.files[name]
	if !ok {
		return m, nil, fmt.Errorf("the kernel has no module %s", name)
	}
	m.name = name
	if strings.HasSuffix(path, ".xz") {
		m.image, err = output(ctx, "", "xz", "-dc", path)
	} else {
		m.image, err = os.ReadFile(path)
	}
	if err != nil {
		return m, nil, err
	}
	if needs, err = dependencies(m.image); err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return m, needs, err
}

// dependencies reads which modules must be loaded before one: section .modinfo of its
// ELF file holds "key=value" strings, each ended by a NUL; "depends" is a list of names
// with commas between them (kernel: scripts/mod/modpost.c, add_depends).
func dependencies(image []byte) (needs []string, err error) {
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil, err
	}
	s := f.Section(".modinfo")
	if s == nil {
		return nil, fmt.Errorf("no section .modinfo")
	}
	data, err := s.Data()
	if err != nil {
		return nil, err
	}
	for entry := range bytes.SplitSeq(data, []byte{0}) {
		if list, ok := bytes.CutPrefix(entry, []byte("depends=")); ok && len(list) > 0 {
			needs = append(needs, strings.Split(strings.ReplaceAll(string(list), "-", "_"), ",")...)
		}
	}
	return slices.Compact(needs), nil
}
