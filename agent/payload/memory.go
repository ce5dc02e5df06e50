package payload

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"quicklime/wire/daemon"
)

// The directories in Dir that are ours.
const (
	partialDir = ".partial"
	stageDir   = ".stage"
	heldDir    = ".held"
)

// prepare makes the directory and those in it, and refuses one that is not in
// memory, or that others may look into.
func prepare(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := inMemory(dir); err != nil {
		return err
	}
	st, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	own, ok := owner(st)
	switch {
	case !st.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	case ok && own != os.Geteuid():
		return daemon.WithHint(fmt.Errorf("%s belongs to user %d, not to the agent", dir, own), "remove it, or set another dir in [payload] of agent.toml")
	case st.Mode().Perm()&0o077 != 0:
		return daemon.WithHint(fmt.Errorf("%s has mode %04o: others may look into it", dir, st.Mode().Perm()), "chmod 700 %s", dir)
	}
	for _, d := range []string{partialDir, stageDir, heldDir, runDir, resultsDir} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// sweepStage removes what a killed agent left, and what could not be wiped: of a program
// that was run as another user there may be directories that stay.
func sweepStage(dir string) error {
	stage := filepath.Join(dir, stageDir)
	entries, err := os.ReadDir(stage)
	errs := []error{err}
	for _, e := range entries {
		errs = append(errs, wipe(filepath.Join(stage, e.Name())))
	}
	return errors.Join(errs...)
}

// wipeAgain wipes what could not be wiped before, once run-payload has given it back.
func (k *Keeper) wipeAgain() {
	if !k.unwiped {
		return
	}
	if err := sweepStage(k.cfg.Dir); err == nil {
		k.unwiped = false
		k.cfg.Log.Info("what could not be wiped before is wiped")
	}
}

// inMemory refuses a directory whose file system may write to a disk. Pages of tmpfs
// may be swapped out, which docs/payloads.md tells how to prevent.
func inMemory(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	switch st.Type {
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC:
		return nil
	}
	return daemon.WithHint(fmt.Errorf("%s is not in memory: its file system is neither tmpfs nor ramfs (type 0x%x), and nothing secret is written there", dir, st.Type),
		"set dir in [payload] of agent.toml to a directory under /run, or mount a tmpfs there")
}
