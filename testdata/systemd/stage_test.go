package systemd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The environment of a process that this test starts of itself, in namespaces of its own.
const (
	stageVariable = "QUICKLIME_STAGE" // which of the stages it is
	rootVariable  = "QUICKLIME_ROOT"  // directory for the machine's root
	groupVariable = "QUICKLIME_GROUP" // name of its control group
)

var stages = map[string]func() error{"boot": boot, "sweep": sweep}

// stage is what runs in the place of the tests in such a process.
func stage(name string) int {
	runtime.LockOSThread()
	if err := stages[name](); err != nil {
		fmt.Fprintln(os.Stderr, notHere+err.Error())
		return 1
	}
	return 0
}

// notHere begins what is said if this machine cannot have another in it.
const notHere = "not here: "

type mount struct {
	source, target, kind string
	flags                uintptr
	options              string
}

func (m mount) do(root string) error {
	target := filepath.Join(root, m.target)
	if err := unix.Mount(m.source, target, m.kind, m.flags, m.options); err != nil {
		return fmt.Errorf("mount %s of type %q on %s: %w", m.source, m.kind, m.target, err)
	}
	return nil
}

// boot makes the machine's root of memory, of this machine's /usr with the package's
// programs on top, and of what lies prepared in the directory etc, and becomes its
// systemd.
func boot() error {
	root, group := os.Getenv(rootVariable), os.Getenv(groupVariable)
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("a mount namespace: %w", err)
	}
	top := filepath.Join(root, "top")
	if err := mounts(root, top); err != nil {
		return err
	}
	if err := join(filepath.Join(top, "sys/fs/cgroup"), group); err != nil {
		return err
	}
	if err := os.Chdir(top); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "mnt"); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount("/mnt", unix.MNT_DETACH); err != nil {
		return err
	}
	env := []string{"container=quicklime", "PATH=/usr/sbin:/usr/bin", "LANG=C.UTF-8"}
	return syscall.Exec("/usr/lib/systemd/systemd", []string{"systemd", "--log-target=console", "--show-status=no", "systemd.unit=multi-user.target"}, env)
}

func mounts(root, top string) error {
	if err := (mount{"machine", "top", "tmpfs", 0, "mode=0755"}).do(root); err != nil {
		return err
	}
	for _, d := range []string{"usr", "etc", "proc", "sys", "dev", "run", "tmp", "var/lib", "root", "mnt", "srv"} {
		if err := os.MkdirAll(filepath.Join(top, d), 0o755); err != nil {
			return err
		}
	}
	for _, d := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+d, filepath.Join(top, d)); err != nil {
			return err
		}
	}
	for name, from := range map[string]string{"etc": "etc", "srv": "srv"} {
		if err := os.CopyFS(filepath.Join(top, name), os.DirFS(filepath.Join(root, from))); err != nil {
			return err
		}
	}
	for _, m := range []mount{
		{"usr", "usr", "overlay", unix.MS_RDONLY, "lowerdir=" + filepath.Join(root, "usr") + ":/usr"},
		{"proc", "proc", "proc", 0, ""},
		{"/proc/sys", "proc/sys", "", unix.MS_BIND, ""},
		{"/proc/sys", "proc/sys", "", unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY, ""},
		{"sysfs", "sys", "sysfs", unix.MS_RDONLY, ""},
		{"cgroup2", "sys/fs/cgroup", "cgroup2", 0, ""},
		{"run", "run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"},
		{"dev", "dev", "tmpfs", unix.MS_NOSUID, "mode=0755"},
	} {
		if err := m.do(top); err != nil {
			return err
		}
	}
	return devices(top)
}

func devices(top string) error {
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		if err := os.WriteFile(filepath.Join(top, "dev", name), nil, 0o666); err != nil {
			return err
		}
		if err := (mount{"/dev/" + name, "dev/" + name, "", unix.MS_BIND, ""}).do(top); err != nil {
			return err
		}
	}
	for _, d := range []string{"dev/shm", "dev/pts"} {
		if err := os.Mkdir(filepath.Join(top, d), 0o755); err != nil {
			return err
		}
	}
	if err := os.Symlink("/proc/self/fd", filepath.Join(top, "dev/fd")); err != nil {
		return err
	}
	if err := (mount{"shm", "dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"}).do(top); err != nil {
		return err
	}
	return mount{"devpts", "dev/pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=0620"}.do(top)
}

// join makes a control group, which is all that the machine sees of them.
func join(groups, name string) error {
	group := filepath.Join(groups, name)
	if err := os.Mkdir(group, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte("0"), 0); err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("a control group namespace: %w", err)
	}
	if err := unix.Unmount(groups, 0); err != nil {
		return err
	}
	return mount{"cgroup2", "", "cgroup2", 0, ""}.do(groups)
}

// sweep removes the control groups that a machine left.
func sweep() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	root := os.Getenv(rootVariable)
	if err := (mount{"cgroup2", "", "cgroup2", 0, ""}).do(root); err != nil {
		return err
	}
	var groups []string
	err := filepath.WalkDir(filepath.Join(root, os.Getenv(groupVariable)), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			groups = append([]string{path}, groups...) // the innermost first
		}
		return err
	})
	for _, g := range groups {
		err = errors.Join(err, os.Remove(g))
	}
	if err != nil && strings.Contains(err.Error(), "busy") {
		return fmt.Errorf("processes are left: %w", err)
	}
	return err
}
