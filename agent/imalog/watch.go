package imalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// Bounds are how often the count of a kernel's list is looked at: Fast after it
// grew, and ever more slowly while it does not, up to Slow. Where an Event tells of
// growth, Backstop takes the place of Slow.
type Bounds struct {
	Fast, Slow, Backstop time.Duration
}

// DefaultBounds cost a quiet machine four looks a second and delay news by at most a
// quarter of one. A read of the count takes 3 to 6 µs; the wake-up around it is what
// costs: 0.2 ms in all on a virtual machine under load, which is 0.09 % of a core (at
// 100 ms it would be 0.25 %). The fast looks, 0.9 %, last as long as the growth does:
// the gap is Slow again within 1.5 s.
var DefaultBounds = Bounds{Fast: 20 * time.Millisecond, Slow: 250 * time.Millisecond, Backstop: 2 * time.Second}

// Check refuses bounds that would spin or never look.
func (b Bounds) Check() error {
	if b.Fast < time.Millisecond || b.Slow < b.Fast || b.Backstop < b.Slow || b.Backstop > time.Minute {
		return fmt.Errorf("watch bounds %v, %v and %v: want 1ms ≤ fast ≤ slow ≤ backstop ≤ 1m", b.Fast, b.Slow, b.Backstop)
	}
	return nil
}

// Event tells when a kernel's list may have grown. *perf.Event is one.
type Event interface {
	// Run calls hit for each time, or once for several, until ctx is done. Another
	// end is an error.
	Run(ctx context.Context, hit func()) error
}

// WatchConfig says how to watch.
type WatchConfig struct {
	Bounds
	Event Event        // nil: the timer is alone; of a plain file it is not used
	Log   *slog.Logger // nil: slog.Default()
}

// Watcher says when a list has grown, or may have. It does not read the list.
type Watcher struct {
	path   string
	kernel bool
	cfg    WatchConfig
	grew   chan struct{} // holds one: what is not taken yet is coalesced
}

// NewWatcher returns a watcher of the list at path. Nothing happens before Run.
func NewWatcher(path string, c WatchConfig) (*Watcher, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	kernel, err := OnSecurityFS(path)
	if err != nil {
		return nil, err
	}
	return newWatcher(path, kernel, c), nil
}

func newWatcher(path string, kernel bool, c WatchConfig) *Watcher {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Watcher{path: path, kernel: kernel, cfg: c, grew: make(chan struct{}, 1)}
}

// String says how the list is watched.
func (w *Watcher) String() string {
	switch {
	case !w.kernel:
		return "inotify"
	case w.cfg.Event != nil:
		return fmt.Sprintf("event, count every %v at the least", w.cfg.Backstop)
	}
	return fmt.Sprintf("count every %v to %v", w.cfg.Fast, w.cfg.Slow)
}

// Grew delivers a token when the list may have grown since the last one was
// taken.
func (w *Watcher) Grew() <-chan struct{} { return w.grew }

// signal leaves a token if there is none.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
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

// runCount looks at the count: when the event tells to, and by the timer.
func (w *Watcher) runCount(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	c := newCounter(w.path)
	defer c.close()
	p := pace{fast: w.cfg.Fast, slow: w.cfg.Slow}
	hits, ended := make(chan struct{}, 1), make(chan error, 1)
	if w.cfg.Event != nil {
		p.slow = w.cfg.Backstop
		running.Go(func() { ended <- w.cfg.Event.Run(ctx, func() { signal(hits) }) })
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		told := false
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			if ctx.Err() == nil {
				w.cfg.Log.Warn("the kernel's event is lost; the timer goes on alone", "error", err)
			}
			p.slow = w.cfg.Slow
		case <-hits:
			told = true
		case <-timer.C:
		}
		n, err := c.read()
		if err != nil {
			return err
		}
		grew, next := p.look(n, told)
		if grew {
			signal(w.grew)
		}
		timer.Reset(next)
	}
}

// pace decides when to look next. The zero pace but for its bounds has seen an
// empty list.
type pace struct {
	fast, slow time.Duration
	count      uint64
	gap        time.Duration
}

// look takes the count just seen, and whether an event told to look. It reports
// whether the count is another than before and how long to wait before the next look:
// growth that no event told of is followed by fast ones.
func (p *pace) look(count uint64, told bool) (grew bool, next time.Duration) {
	grew = count != p.count
	p.count = count
	switch {
	case told:
		p.gap = p.slow
	case grew:
		p.gap = p.fast
	default:
		p.gap = min(max(p.gap+p.gap/2, p.fast), p.slow)
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
	signal(w.grew) // for what happened before the watch was there
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-n.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("watch the measurement list: %w", err)
			}
			signal(w.grew) // events were lost: one of them may have been ours
		case e := <-n.Events:
			switch e.Name {
			case path:
				signal(w.grew)
			case filepath.Dir(path):
				if e.Has(fsnotify.Remove | fsnotify.Rename) {
					return fmt.Errorf("watch the measurement list: directory %s is gone", e.Name)
				}
			}
		}
	}
}

// OnSecurityFS reports whether path is, or would be, on securityfs: it asks the
// nearest directory that exists, for a kernel without IMA has none of its files.
func OnSecurityFS(path string) (bool, error) {
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
