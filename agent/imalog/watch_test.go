package imalog

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
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
	w, err := NewWatcher(f.path, DefaultBounds)
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
	w := newWatcher(f.path, false, DefaultBounds)
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
	w := newWatcher(f.path, true, DefaultBounds)
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
	if err := <-start(t, newWatcher(f.path, true, DefaultBounds)); err == nil {
		t.Error("no error")
	}
}

func TestLooksAreFastAfterGrowthAndSlowWhenQuiet(t *testing.T) {
	const ms = time.Millisecond
	p := pace{bounds: Bounds{Fast: 10 * ms, Slow: 40 * ms}}
	type look struct {
		Grew bool
		Next time.Duration
	}
	var got []look
	for _, count := range []uint64{0, 5, 5, 5, 5, 5, 6, 6, 2} {
		grew, next := p.look(count)
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
		w := newWatcher("/nowhere", true, DefaultBounds)
		w.signal()
		w.signal()
		<-w.Grew()
		select {
		case <-w.Grew():
			t.Error("two tokens for growth that nobody had taken")
		default:
		}
	})
}

func TestBoundsThatSpinOrNeverLookAreRefused(t *testing.T) {
	for _, b := range []Bounds{{}, {0, time.Second}, {time.Microsecond, time.Second}, {time.Second, time.Millisecond}, {time.Second, time.Hour}} {
		if _, err := NewWatcher(t.TempDir(), b); err == nil {
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
		if kernel, err := onSecurityFS(path); kernel || err != nil {
			t.Errorf("%s: %v, %v", path, kernel, err)
		}
	}
	if _, err := onSecurityFS(filepath.Join(newFile(t, nil).path, "list")); err == nil {
		t.Error("a file is taken for a directory")
	}
}
