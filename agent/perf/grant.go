package perf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// pmus is where the kernel describes its PMUs.
const pmus = "/sys/bus/event_source/devices"

// ErrNoPMU says that the kernel cannot make kprobes for perf.
var ErrNoPMU = errors.New("this kernel has no kprobe PMU (CONFIG_KPROBE_EVENTS): nothing can be granted, use the timer")

// kretprobe returns the type and the config of a probe at a return.
func kretprobe(dir string) (unix.PerfEventAttr, error) {
	kind, err := os.ReadFile(filepath.Join(dir, "kprobe", "type"))
	if errors.Is(err, fs.ErrNotExist) {
		return unix.PerfEventAttr{}, ErrNoPMU
	}
	if err != nil {
		return unix.PerfEventAttr{}, err
	}
	format, err := os.ReadFile(filepath.Join(dir, "kprobe", "format", "retprobe"))
	if err != nil {
		return unix.PerfEventAttr{}, err
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(string(kind), "\n"), 10, 32)
	if err != nil {
		return unix.PerfEventAttr{}, fmt.Errorf("type of the kprobe PMU: %w", err)
	}
	bit, ok := strings.CutPrefix(strings.TrimSuffix(string(format), "\n"), "config:")
	shift, err := strconv.ParseUint(bit, 10, 6)
	if !ok || err != nil {
		return unix.PerfEventAttr{}, fmt.Errorf("format of the kprobe PMU: retprobe is %q, which is no bit of config", format)
	}
	return unix.PerfEventAttr{Type: uint32(n), Config: 1 << shift}, nil
}

// explain says what to grant.
func explain(function string, err error) error {
	err = fmt.Errorf("kretprobe on %s: %w", function, err)
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		paranoid, _ := os.ReadFile("/proc/sys/kernel/perf_event_paranoid")
		lockdown, _ := os.ReadFile("/sys/kernel/security/lockdown")
		return fmt.Errorf("%w (%s)", err, grant(string(paranoid), string(lockdown)))
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%w (the kernel has no such function to probe: is it built with IMA?)", err)
	case errors.Is(err, unix.EMFILE):
		return fmt.Errorf("%w (there is one descriptor a CPU: raise LimitNOFILE)", err)
	}
	return err
}

// grant says what is missing, given kernel.perf_event_paranoid and the kernel's
// lockdown.
func grant(paranoid, lockdown string) string {
	if strings.Contains(lockdown, "[confidentiality]") {
		return "the kernel is locked down for confidentiality, which forbids it: use the timer"
	}
	level, err := strconv.Atoi(strings.TrimSpace(paranoid))
	if err != nil || level > 2 {
		return "grant CAP_SYS_ADMIN, or set kernel.perf_event_paranoid to 2 and grant CAP_PERFMON"
	}
	return "grant CAP_PERFMON"
}

// onlineCPUs lists the CPUs that are online (Documentation/admin-guide/
// cputopology.rst).
func onlineCPUs() ([]int, error) {
	b, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return nil, err
	}
	return parseCPUs(strings.TrimSuffix(string(b), "\n"))
}

// maxCPU bounds the number of a CPU: NR_CPUS is at most 8192 in any architecture.
const maxCPU = 8191

// parseCPUs reads a list such as "0-3,8".
func parseCPUs(list string) (cpus []int, err error) {
	for part := range strings.SplitSeq(list, ",") {
		from, to, span := strings.Cut(part, "-")
		if !span {
			to = from
		}
		first, err1 := strconv.ParseUint(from, 10, 16)
		last, err2 := strconv.ParseUint(to, 10, 16)
		if err1 != nil || err2 != nil || first > last || last > maxCPU {
			return nil, fmt.Errorf("CPUs online: %q is no range", part)
		}
		for n := first; n <= last; n++ {
			cpus = append(cpus, int(n))
		}
	}
	return cpus, nil
}
