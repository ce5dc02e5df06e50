// Package perf has the kernel tell when one of its functions returns: a kretprobe
// that perf_event_open(2) makes, without BPF and without tracefs.
//
// The PMU is /sys/bus/event_source/devices/kprobe: its number is in "type", the bit
// of config that asks for the return in "format/retprobe"
// (Documentation/ABI/testing/sysfs-bus-event_source-devices-probe). config1 is the
// address of the function's name. An event is of one CPU, so there is one for each
// that is online when it is opened, with a ring of one page; a CPU that comes online
// later tells nothing. Each hit wakes whoever polls, even when its ring is full.
//
// The kernel wants CAP_PERFMON, or CAP_SYS_ADMIN where kernel.perf_event_paranoid is
// 3 (Debian's default) or more, and no lockdown for confidentiality.
package perf

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Event is a probe that is set. It belongs to one goroutine.
type Event struct {
	cpus []cpu
	stop int // eventfd, which ends a wait
}

// cpu is the event of one CPU.
type cpu struct {
	fd   int
	ring []byte // a page that perf_event_mmap_page begins, and one of records
}

// OpenReturn sets a probe at the return of a kernel function. An error says what to
// grant, as far as that can be known.
func OpenReturn(function string) (*Event, error) {
	attr, err := kretprobe(pmus)
	if err != nil {
		return nil, err
	}
	name, err := unix.BytePtrFromString(function)
	if err != nil {
		return nil, err
	}
	attr.Ext1 = uint64(uintptr(unsafe.Pointer(name)))
	e, err := open(attr)
	runtime.KeepAlive(name)
	if err != nil {
		return nil, explain(function, err)
	}
	return e, nil
}

// open sets the event on every CPU that is online.
func open(attr unix.PerfEventAttr) (*Event, error) {
	attr.Size = uint32(unsafe.Sizeof(attr))
	attr.Sample, attr.Wakeup = 1, 1 // every hit, and a wake-up for each
	online, err := onlineCPUs()
	if err != nil {
		return nil, err
	}
	e := &Event{}
	if e.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, err
	}
	for _, n := range online {
		if err := e.add(attr, n); err != nil {
			e.Close()
			return nil, err
		}
	}
	return e, nil
}

func (e *Event) add(attr unix.PerfEventAttr, n int) error {
	fd, err := unix.PerfEventOpen(&attr, -1, n, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("perf_event_open", err)
	}
	ring, err := unix.Mmap(fd, 0, 2*os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		unix.Close(fd)
		return os.NewSyscallError("mmap", err)
	}
	e.cpus = append(e.cpus, cpu{fd, ring})
	return nil
}

// Close takes the probe away.
func (e *Event) Close() error {
	var errs []error
	for _, c := range e.cpus {
		errs = append(errs, unix.Munmap(c.ring), unix.Close(c.fd))
	}
	return errors.Join(append(errs, unix.Close(e.stop))...)
}

// Run calls hit after the function has returned, once for what happened since the
// last call, until ctx is done, and then returns nil. Another error says that the
// event cannot be used any more.
func (e *Event) Run(ctx context.Context, hit func()) error {
	defer context.AfterFunc(ctx, func() { unix.Write(e.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0}) })()
	fds := []unix.PollFd{{Fd: int32(e.stop), Events: unix.POLLIN}}
	for _, c := range e.cpus {
		fds = append(fds, unix.PollFd{Fd: int32(c.fd), Events: unix.POLLIN})
	}
	for {
		_, err := unix.Poll(fds, -1)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("poll", err)
		}
		some := false
		for i, c := range e.cpus {
			if fds[i+1].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0 {
				return errors.New("the kernel took the perf event away")
			}
			h, err := c.drain()
			if err != nil {
				return err
			}
			some = some || h != hits{}
		}
		if some {
			hit()
		}
	}
}

// drain takes what is in the ring. The kernel's writes before data_head are seen
// after it is, and its reads of data_tail after ours (include/uapi/linux/
// perf_event.h), for Go's atomic operations are in one order.
func (c cpu) drain() (hits, error) {
	page := (*unix.PerfEventMmapPage)(unsafe.Pointer(&c.ring[0]))
	head, tail := atomic.LoadUint64(&page.Data_head), page.Data_tail
	h, err := parse(c.ring[os.Getpagesize():], tail, head)
	atomic.StoreUint64(&page.Data_tail, head)
	return h, err
}
