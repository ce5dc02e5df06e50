package payload

import (
	"io/fs"
	"os"
	"syscall"
)

// owner returns the user whose a file is.
func owner(st fs.FileInfo) (uid int, ok bool) {
	s, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(s.Uid), true
}

// mine reports whether a file is the agent's own.
func mine(st fs.FileInfo) bool {
	uid, ok := owner(st)
	return !ok || uid == os.Geteuid()
}

// sameDevice reports whether two files are on one file system.
func sameDevice(a, b fs.FileInfo) bool {
	x, ok := a.Sys().(*syscall.Stat_t)
	y, also := b.Sys().(*syscall.Stat_t)
	return ok && also && x.Dev == y.Dev
}
