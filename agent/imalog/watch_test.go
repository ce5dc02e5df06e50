package imalog

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"quicklime/wire/wiretest"
)

// start runs w until the test ends and returns what Run returned.
func start(t *testing.T, w *Watcher) <-chan error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(cancel)
	return done
}

// awaitGrowth fails the test if the watcher says nothing for long.
func awaitGrowth(t *testing.T, w *Watcher, what string) {
	t.Helper()
	select {
	case <-w.Grew():
	case <-time.After(10 * time.Second):
		t.Fatalf("%s went unnoticed", what)
	}
}

func TestWatchOfAPlainFile(t *testing.T) {
	f := newFile(t, nil)
	w, err := NewWatcher(f.path, WatchConfig{Bounds: DefaultBounds})
	if err != nil {
		t.Fatal(err)
	}
	if w.String() != "inotify" {
		t.Errorf("watched by %v", w)
	}
	done := start(t, w)
	awaitGrowth(t, w, "the start")
	for _, c := range []struct {
		what string
		do   func()
	}{
		{"an append", func() { f.append([]byte("x")) }},
		{"a file renamed over it", func() { os.Rename(newFile(t, []byte("y")).path, f.path) }},
		{"an append to the new file", func() { f.append([]byte("z")) }},
		{"its removal", func() { os.Remove(f.path) }},
		{"a new file", func() { f.write(nil) }},
	} {
		drain(w)
		c.do()
		awaitGrowth(t, w, c.what)
	}
	if err := os.RemoveAll(filepath.Dir(f.path)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Error("the directory vanished and nobody says so")
	}
}

// drain waits until events that belong together have arrived.
func drain(w *Watcher) {
	for {
		select {
		case <-w.Grew():
		case <-time.After(20 * time.Millisecond):
			return
		}
	}
}

func TestWatchIgnoresOtherFiles(t *testing.T) {
	f := newFile(t, nil)
	w := newWatcher(f.path, false, WatchConfig{Bounds: DefaultBounds})
	start(t, w)
	awaitGrowth(t, w, "the start")
	f.setCount(7)
	select {
	case <-w.Grew():
		t.Error("the count file was taken for the list")
	case <-time.After(100 * time.Millisecond):
	}
}

func TestWatchOfAKernelList(t *testing.T) {
	f := newFile(t, nil)
	w := newWatcher(f.path, true, WatchConfig{Bounds: DefaultBounds})
	if w.String() != "count every 20ms to 250ms" {
		t.Errorf("watched by %v", w)
	}
	start(t, w)
	f.setCount(1) // IMA was not there before
	awaitGrowth(t, w, "the first entry")
	f.setCount(2)
	awaitGrowth(t, w, "the second entry")
}

func TestWatchStopsOnACountThatIsNone(t *testing.T) {
	f := newFile(t, nil)
	if err := os.WriteFile(filepath.Join(filepath.Dir(f.path), "runtime_measurements_count"), []byte("many"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-start(t, newWatcher(f.path, true, WatchConfig{Bounds: DefaultBounds})); err == nil {
		t.Error("no error")
	}
}

func TestLooksAreFastAfterGrowthAndSlowWhenQuiet(t *testing.T) {
	const ms = time.Millisecond
	p := pace{fast: 10 * ms, slow: 40 * ms}
	type look struct {
		Grew bool
		Next time.Duration
	}
	var got []look
	for _, count := range []uint64{0, 5, 5, 5, 5, 5, 6, 6, 2} {
		grew, next := p.look(count, false)
		got = append(got, look{grew, next})
	}
	want := []look{{false, 10 * ms}, {true, 10 * ms}, {false, 15 * ms}, {false, 22500 * time.Microsecond},
		{false, 33750 * time.Microsecond}, {false, 40 * ms}, {true, 10 * ms}, {false, 15 * ms}, {true, 10 * ms}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestGrowthIsCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatcher("/nowhere", true, WatchConfig{Bounds: DefaultBounds})
		signal(w.grew)
		signal(w.grew)
		<-w.Grew()
		select {
		case <-w.Grew():
			t.Error("two tokens for growth that nobody had taken")
		default:
		}
	})
}

func TestBoundsThatSpinOrNeverLookAreRefused(t *testing.T) {
	for _, b := range []Bounds{
		{}, {0, time.Second, time.Second}, {time.Microsecond, time.Second, time.Second}, {time.Second, time.Millisecond, time.Second},
		{time.Second, time.Second, time.Millisecond}, {time.Second, time.Second, time.Hour},
	} {
		if _, err := NewWatcher(t.TempDir(), WatchConfig{Bounds: b}); err == nil {
			t.Errorf("%v is accepted", b)
		}
	}
	if err := DefaultBounds.Check(); err != nil {
		t.Error(err)
	}
}

func TestSecurityFSIsToldFromPlainDirectories(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Join(dir, "list"), filepath.Join(dir, "no", "such", "list")} {
		if kernel, err := OnSecurityFS(path); kernel || err != nil {
			t.Errorf("%s: %v, %v", path, kernel, err)
		}
	}
	if _, err := OnSecurityFS(filepath.Join(newFile(t, nil).path, "list")); err == nil {
		t.Error("a file is taken for a directory")
	}
}

// probe is an event that a test triggers. It ends with what end delivers.
type probe struct {
	hits chan struct{}
	end  chan error
}

func newProbe() *probe { return &probe{make(chan struct{}), make(chan error)} }

func (p *probe) Run(ctx context.Context, hit func()) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-p.end:
			return err
		case <-p.hits:
			hit()
		}
	}
}

// at returns how long after the start of a bubble the watcher tells of growth.
func at(t *testing.T, w *Watcher, began time.Time) time.Duration {
	t.Helper()
	<-w.Grew()
	return time.Since(began)
}

func TestAnEventWakesAtOnceAndTheTimerIsItsBackstop(t *testing.T) {
	f := newFile(t, nil)
	f.setCount(1)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		p := newProbe()
		var log wiretest.Log
		w := newWatcher(f.path, true, WatchConfig{Bounds: DefaultBounds, Event: p, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if w.String() != "event, count every 2s at the least" {
			t.Errorf("watched by %v", w)
		}
		done := start(t, w)
		at(t, w, began) // what there is
		time.Sleep(time.Minute + time.Millisecond)
		synctest.Wait()

		f.setCount(2)
		before := time.Now()
		p.hits <- struct{}{}
		if d := at(t, w, before); d != 0 {
			t.Errorf("%v after the event", d)
		}
		p.hits <- struct{}{} // of a measurement that is in the list already
		synctest.Wait()
		select {
		case <-w.Grew():
			t.Error("an event without growth is taken for growth")
		default:
		}

		f.setCount(3) // without an event
		if d := at(t, w, before); d != DefaultBounds.Backstop {
			t.Errorf("%v after the last look, without an event", d)
		}

		p.end <- errors.New("taken away")
		synctest.Wait()
		if log.Count("the kernel's event is lost; the timer goes on alone\" error=\"taken away") != 1 {
			t.Errorf("the log says %s", log.String())
		}
		time.Sleep(time.Minute + time.Millisecond)
		f.setCount(4)
		if d := at(t, w, time.Now()); d > DefaultBounds.Slow {
			t.Errorf("%v after the event was lost", d)
		}
		select {
		case err := <-done:
			t.Error(err)
		default:
		}
	})
}
