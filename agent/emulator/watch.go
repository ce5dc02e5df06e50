package emulator

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Watch measures every regular file that is moved into dir, or written there and
// closed, until ctx ends. It calls ready once it watches, and report for each
// file with what Measure returned. It uses inotify itself: fsnotify does not tell
// when a file is closed, and half a file must not be measured.
func (m *Machine) Watch(ctx context.Context, dir string, ready func(), report func(Measurement, error)) error {
	in, err := notifier(dir)
	if err != nil {
		return fmt.Errorf("watch %s: %w", dir, err)
	}
	defer in.Close()
	stop := context.AfterFunc(ctx, func() { in.Close() })
	defer stop()
	ready()
	buf := make([]byte, notifyBuffer)
	for {
		n, err := in.Read(buf)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("watch %s: %w", dir, err)
		}
		names, err := parseNotify(buf[:n])
		if err != nil {
			return fmt.Errorf("watch %s: %w", dir, err)
		}
		for _, name := range names {
			if err := m.dropped(ctx, filepath.Join(dir, name), report); err != nil {
				return err
			}
		}
	}
}

// dropped measures one file. Only what is wrong with the machine is an error.
func (m *Machine) dropped(ctx context.Context, path string, report func(Measurement, error)) error {
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		return nil // it is gone again, or nothing that has a content
	}
	got, err := m.Measure(ctx, path, "")
	report(got, err)
	if errors.Is(err, ErrOutOfStep) {
		return err
	}
	return nil
}

// notifyBuffer holds some hundred events.
const notifyBuffer = 64 << 10 // bytes

func notifier(dir string) (*os.File, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO|unix.IN_ONLYDIR); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// parseNotify returns the names in a sequence of events (inotify(7)), in the
// machine's byte order:
//
//	wd i32 | mask u32 | cookie u32 | len u32 | len × name byte, padded with NUL
func parseNotify(b []byte) (names []string, err error) {
	for len(b) > 0 {
		if len(b) < unix.SizeofInotifyEvent {
			return nil, errors.New("an event is cut off")
		}
		mask, n := binary.NativeEndian.Uint32(b[4:]), uint64(binary.NativeEndian.Uint32(b[12:]))
		b = b[unix.SizeofInotifyEvent:]
		switch {
		case n > uint64(len(b)):
			return nil, errors.New("an event is cut off")
		case mask&unix.IN_Q_OVERFLOW != 0:
			return nil, errors.New("files came faster than they can be measured: some were not")
		case mask&unix.IN_IGNORED != 0:
			return nil, errors.New("the directory was removed")
		}
		name, _, _ := bytes.Cut(b[:n], []byte{0})
		names = append(names, string(name))
		b = b[n:]
	}
	return names, nil
}
