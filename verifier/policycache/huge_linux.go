package policycache

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// adviseHuge has the kernel back memory with huge pages (madvise(2), MADV_HUGEPAGE),
// unless it is told never to, or has none.
func adviseHuge(b []byte) error {
	if err := unix.Madvise(b, unix.MADV_HUGEPAGE); err != nil {
		return fmt.Errorf("madvise: %w", err)
	}
	return nil
}
