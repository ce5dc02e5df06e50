package backoff

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPausesDoubleToTheirBound(t *testing.T) {
	p := Pauses{First: time.Second, Last: 6 * time.Second, Random: func() float64 { return 0 }}
	var got []time.Duration
	for range 5 {
		got = append(got, p.Next()*2)
	}
	p.Reset()
	got = append(got, p.Next()*2)
	want := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 6 * time.Second, 6 * time.Second, time.Second}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestPausesAreHalfRandom(t *testing.T) {
	p := Pauses{First: time.Second, Last: time.Minute, Random: func() float64 { return 0.5 }}
	if got, want := p.Next(), 750*time.Millisecond; got != want {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestSleepEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if !Sleep(ctx, time.Second-1) {
			t.Error("a sleep that ends before its context was cut short")
		}
		began := time.Now()
		if Sleep(ctx, time.Hour) || time.Since(began) > time.Second {
			t.Errorf("a sleep of an hour in a context of a second lasted %v", time.Since(began))
		}
	})
}
