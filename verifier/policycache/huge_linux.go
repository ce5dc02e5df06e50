package policycache

import (
	"bytes"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// thpEnabled says which memory gets huge pages (kernel:
// Documentation/admin-guide/mm/transhuge.rst): "always [madvise] never".
const thpEnabled = "/sys/kernel/mm/transparent_hugepage/enabled"

// memory is how much the machine has, in bytes.
func memory() uint64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0
	}
	return uint64(info.Totalram) * uint64(info.Unit)
}

// adviseHuge has the kernel back memory with huge pages.
func adviseHuge(b []byte) error { return advise(b, thpEnabled) }

// advise returns an error where the advice is not known, or not heeded: a copy in small
// pages is searched no faster than the file.
func advise(b []byte, enabled string) error {
	if mode, err := os.ReadFile(enabled); err == nil && bytes.Contains(mode, []byte("[never]")) {
		return fmt.Errorf("%s is never: madvise is enough", enabled)
	}
	if err := unix.Madvise(b, unix.MADV_HUGEPAGE); err != nil {
		return fmt.Errorf("madvise: %w", err)
	}
	return nil
}
