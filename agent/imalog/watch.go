package imalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// Bounds are how often the count of a kernel's list is looked at: Fast after it
// grew, and ever more slowly while it does not, up to Slow.
type Bounds struct {
	Fast, Slow time.Duration
}

// DefaultBounds cost a quiet machine four wake-ups of some microseconds a
// second, and delay news by at most a quarter of one.
var DefaultBounds = Bounds{Fast: 20 * time.Millisecond, Slow: 250 * time.Millisecond}

// Check refuses bounds that would spin or never look.
func (b Bounds) Check() error {
	if b.Fast < time.Millisecond || b.Slow < b.Fast || b.Slow > time.Minute {
		return fmt.Errorf("watch bounds %v and %v: want 1ms ≤ fast ≤ slow ≤ 1m", b.Fast, b.Slow)
	}
	return nil
}

// Watcher says when a list has grown, or may have. It does not read the list.
type Watcher struct {
	path   string
	kernel bool
	bounds Bounds
	grew   chan struct{} // holds one: what is not taken yet is coalesced
}

// NewWatcher returns a watcher of the list at path. Nothing happens before Run.
func NewWatcher(path string, b Bounds) (*Watcher, error) {
	if err := b.Check(); err != nil {
		return nil, err
	}
	kernel, err := onSecurityFS(path)
	if err != nil {
		return nil, err
	}
	return newWatcher(path, kernel, b), nil
}

func newWatcher(path string, kernel bool, b Bounds) *Watcher {
	return &Watcher{path: path, kernel: kernel, bounds: b, grew: make(chan struct{}, 1)}
}

// String says how the list is watched.
func (w *Watcher) String() string {
	if w.kernel {
		return fmt.Sprintf("count every %v to %v", w.bounds.Fast, w.bounds.Slow)
	}
	return "inotify"
}

// Grew delivers a token when the list may have grown since the last one was
// taken.
func (w *Watcher) Grew() <-chan struct{} { return w.grew }

func (w *Watcher) signal() {
	select {
	case w.grew <- struct{}{}:
	default:
	}
}

// Run watches until ctx is done, and then returns nil. Another error says that
// the list cannot be watched any more.
func (w *Watcher) Run(ctx context.Context) error {
	if w.kernel {
		return w.runCount(ctx)
	}
	return w.runNotify(ctx)
}

// runCount looks at the count.
func (w *Watcher) runCount(ctx context.Context) error {
	c := newCounter(w.path)
	defer c.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	p := pace{bounds: w.bounds}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		n, err := c.read()
		if err != nil {
			return err
		}
		grew, next := p.look(n)
		if grew {
			w.signal()
		}
		timer.Reset(next)
	}
}

// pace decides when to look next. The zero pace but for its bounds has seen an
// empty list.
type pace struct {
	bounds Bounds
	count  uint64
	gap    time.Duration
}

// look takes the count just seen. It reports whether it is another than before
// and how long to wait before the next look.
func (p *pace) look(count uint64) (grew bool, next time.Duration) {
	grew = count != p.count
	p.count = count
	if grew {
		p.gap = p.bounds.Fast
	} else {
		p.gap = min(max(p.gap+p.gap/2, p.bounds.Fast), p.bounds.Slow)
	}
	return grew, p.gap
}

// runNotify watches the directory, for the file may be replaced.
func (w *Watcher) runNotify(ctx context.Context) error {
	n, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch the measurement list: %w", err)
	}
	defer n.Close()
	path, err := filepath.Abs(w.path)
	if err != nil {
		return err
	}
	if err := n.Add(filepath.Dir(path)); err != nil {
		return fmt.Errorf("watch the measurement list %s: %w", path, err)
	}
	w.signal() // for what happened before the watch was there
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-n.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("watch the measurement list: %w", err)
			}
			w.signal() // events were lost: one of them may have been ours
		case e := <-n.Events:
			switch e.Name {
			case path:
				w.signal()
			case filepath.Dir(path):
				if e.Has(fsnotify.Remove | fsnotify.Rename) {
					return fmt.Errorf("watch the measurement list: directory %s is gone", e.Name)
				}
			}
		}
	}
}

// onSecurityFS reports whether path is, or would be, on securityfs: it asks the
// nearest directory that exists, for a kernel without IMA has none of its files.
func onSecurityFS(path string) (bool, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return false, err
	}
	for {
		var s unix.Statfs_t
		err := unix.Statfs(path, &s)
		if err == nil {
			return s.Type == unix.SECURITYFS_MAGIC, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return false, fmt.Errorf("%s: %w", path, err)
		}
		path = filepath.Dir(path) // at last "/", which exists
	}
}
