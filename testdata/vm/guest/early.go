package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// rootDevice is the first virtio disk.
const rootDevice = "/dev/vda"

// early is the initramfs: mounts what the kernel shows, loads the modules in the
// order of their names, and goes on with /sbin/init of the disk.
func early() error {
	err := errors.Join(mount("proc", "/proc", "proc"), mount("sysfs", "/sys", "sysfs"), mount("devtmpfs", "/dev", "devtmpfs"))
	if err != nil {
		return err
	}
	if err := loadModules("/modules"); err != nil {
		return err
	}
	if err := awaitFile(rootDevice); err != nil {
		return err
	}
	if err := mount(rootDevice, "/root", "ext4"); err != nil {
		return err
	}
	for _, dir := range []string{"/proc", "/sys", "/dev"} {
		if err := unix.Mount(dir, "/root"+dir, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s: %w", dir, err)
		}
	}
	return switchRoot("/root")
}

// switchRoot makes dir the root and /sbin/init below it this process.
func switchRoot(dir string) error {
	if err := unix.Chdir(dir); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root: %w", err)
	}
	if err := errors.Join(unix.Chroot("."), unix.Chdir("/")); err != nil {
		return err
	}
	return unix.Exec("/sbin/init", []string{"/sbin/init"}, os.Environ())
}

func mount(source, dir, kind string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(source, dir, kind, 0, ""); err != nil {
		return fmt.Errorf("mount %s on %s: %w", source, dir, err)
	}
	return nil
}

func loadModules(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := loadModule(filepath.Join(dir, f.Name())); err != nil {
			return fmt.Errorf("module %s: %w", f.Name(), err)
		}
	}
	return nil
}

func loadModule(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FinitModule(int(f.Fd()), "", 0)
}

// patience bounds the wait for a device after its driver was loaded.
const patience = 20 * time.Second

// awaitFile waits until pattern names a file.
func awaitFile(pattern string) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) > 0 {
			return err
		}
	}
	return fmt.Errorf("there is no %s after %v", pattern, patience)
}

// port opens the driver's serial port: the only one there is.
func port() (*os.File, error) {
	const pattern = "/dev/vport*p*"
	if err := awaitFile(pattern); err != nil {
		return nil, err
	}
	found, err := filepath.Glob(pattern)
	if err != nil {
		return nil, err
	}
	return os.OpenFile(slices.Min(found), os.O_RDWR, 0)
}
