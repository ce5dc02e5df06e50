package policycache

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"quicklime/verifier/policy"
)

// mapped loads a policy from a file, which stays mapped for as long as the policy
// can be reached.
func mapped(file string, h *huge) (*policy.Policy, error) {
	b, err := mapFile(file)
	if err != nil {
		return nil, err
	}
	p, err := policy.Load(b, h.hold(b))
	if err != nil {
		unix.Munmap(b)
		return nil, err
	}
	unix.Madvise(b, unix.MADV_DONTNEED) // the checksum has touched all of it; advice that fails changes nothing
	runtime.AddCleanup(p, func(b []byte) { unix.Munmap(b) }, b)
	return p, nil
}

func mapFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 {
		return nil, policy.ErrForm // nothing cannot be mapped
	}
	return unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
}
