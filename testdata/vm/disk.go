package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const (
	agentProgram    = "/usr/bin/quicklime-agent"
	emulatorProgram = "/usr/bin/quicklime-ima-emulator"
	agentConfig     = "/etc/quicklime/agent.toml"
	agentState      = "/var/lib/quicklime-agent"
)

// strangers are programs on the disk that nobody runs in a good boot. Each has its
// own digest.
func stranger(i int) string { return fmt.Sprintf("/usr/local/bin/stranger-%d", i) }

const (
	strangers    = 5             // of one measurement
	allStrangers = 3 * strangers // there is one measurement in the story, and two are among the figures
)

// makeDisk makes the guest's root file system, ext4, in file: the agent as its package
// installs it, the guest's init, and what the stories run. bin has the programs.
func makeDisk(ctx context.Context, bin, guest, file string) error {
	tree, err := os.MkdirTemp(filepath.Dir(file), "root-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tree)
	for _, dir := range []string{"dev", "proc", "sys", "run", "tmp", "sbin", "usr/bin", "usr/local/bin", "etc/quicklime", "etc/ima", agentState} {
		if err := os.MkdirAll(filepath.Join(tree, dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(tree, agentState), 0o700); err != nil {
		return err
	}
	files := map[string]string{
		"/sbin/init": guest, agentProgram: filepath.Join(bin, "quicklime-agent"), emulatorProgram: filepath.Join(bin, "quicklime-ima-emulator"),
	}
	for i := range allStrangers {
		files[stranger(i)] = guest
	}
	for to, from := range files {
		if err := copyFile(from, filepath.Join(tree, to), 0o755); err != nil {
			return err
		}
	}
	for i := range allStrangers {
		if err := appendTo(filepath.Join(tree, stranger(i)), fmt.Sprintf("stranger %d", i)); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(tree, agentConfig), []byte("label = \"guest\"\n"), 0o644); err != nil {
		return err
	}
	_, err = output(ctx, "", "mke2fs", "-q", "-F", "-t", "ext4", "-E", "root_owner=0:0", "-N", inodes, "-d", tree, file, diskSize)
	return err
}

// The disk has room for the programs, for what a boot writes, and for as many small
// files as the figures are of.
const (
	diskSize = "448M"
	inodes   = "40000"
)

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

func copyFile(from, to string, mode os.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
