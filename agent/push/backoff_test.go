package push

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quicklime/wire/channel"
)

func TestBackoffDoublesToItsBound(t *testing.T) {
	b := backoff{random: func() float64 { return 0 }}
	var got []time.Duration
	for range 9 {
		got = append(got, b.next()*2)
	}
	b.reset()
	got = append(got, b.next()*2)
	want := []time.Duration{
		250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second,
		8 * time.Second, 16 * time.Second, 30 * time.Second, 30 * time.Second, 250 * time.Millisecond,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestBackoffIsHalfRandom(t *testing.T) {
	b := backoff{random: func() float64 { return 0.5 }}
	if got, want := b.next(), firstPause*3/4; got != want {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestRequotesEnd(t *testing.T) {
	var r requotes
	var sum time.Duration
	for range maxRequotes {
		d, ok := r.next()
		if !ok || d < firstRequote || d > lastRequote {
			t.Fatalf("pause %v, %v", d, ok)
		}
		sum += d
	}
	if d, ok := r.next(); ok {
		t.Errorf("and then %v", d)
	}
	if sum < time.Second {
		t.Errorf("given up after %v, sooner than a slow TPM extends", sum)
	}
}

func TestThePauseAfterASessionFitsItsEnd(t *testing.T) {
	remote := func(c channel.Code) error {
		return fmt.Errorf("verifier: %w", &channel.CloseError{Code: c, Remote: true})
	}
	for _, c := range []struct {
		err   error
		least time.Duration
		log   string
	}{
		{remote(channel.CodeDisplaced), displacedPause, "level=ERROR"},
		{&channel.CloseError{Code: channel.CodeDisplaced}, 0, "level=WARN msg=\"the session ended\""}, // our own close
		{remote(channel.CodeNotEnrolled), 0, "is it enrolled?"},
		{remote(channel.CodeShutdown), 0, "level=INFO"},
		{errors.New("lost"), 0, "level=WARN"},
	} {
		var l logged
		pause := backoff{random: func() float64 { return 0 }}
		got := explain(slog.New(slog.NewTextHandler(&l, nil)), c.err, &pause)
		if want := max(c.least, firstPause/2); got != want {
			t.Errorf("%v: pause of %v, want %v", c.err, got, want)
		}
		if l.count(c.log) != 1 {
			t.Errorf("%v: the log says %s", c.err, l.b.String())
		}
	}
}
