package main

import (
	"bytes"
	"fmt"
	"os"
)

// initramfs makes the archive that the kernel unpacks as its first root: the guest's
// init, and the modules in the order in which it loads them.
func initramfs(guest string, modules []module) ([]byte, error) {
	init, err := os.ReadFile(guest)
	if err != nil {
		return nil, err
	}
	var a archive
	for _, dir := range []string{"proc", "sys", "dev", "root", "modules"} {
		a.add(dir, modeDir|0o755, nil)
	}
	a.add("init", modeFile|0o755, init)
	for i, m := range modules {
		a.add(fmt.Sprintf("modules/%02d-%s.ko", i, m.name), modeFile|0o644, m.image)
	}
	a.add("TRAILER!!!", 0, nil)
	return a.buf.Bytes(), nil
}

// Kinds of files (inode(7)).
const (
	modeDir  = 0o040000
	modeFile = 0o100000
)

// archive is a cpio archive of the format "newc" (kernel:
// Documentation/driver-api/early-userspace/buffer-format.rst). A file is
//
//	"070701" | 13 numbers of 8 hexadecimal digits | name, NUL | content
//
// name and content are filled up with NUL to a multiple of 4 bytes of the archive. The
// numbers: inode, mode, uid, gid, links, mtime, size, device (major, minor), of a device
// file (major, minor), length of the name with its NUL, checksum (not used).
type archive struct {
	buf   bytes.Buffer
	inode int
}

func (a *archive) add(name string, mode int, content []byte) {
	a.inode++
	fmt.Fprintf(&a.buf, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		a.inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0, name)
	a.align()
	a.buf.Write(content)
	a.align()
}

func (a *archive) align() { a.buf.Write(make([]byte, -a.buf.Len()&3)) }
