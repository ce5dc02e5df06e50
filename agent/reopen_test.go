package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"quicklime/agent/backoff"
)

// frail is a machine whose TPM works for a while.
type frail struct {
	works time.Duration
	err   error // why it does not any more
}

func (f frail) attest(ctx context.Context) error {
	if !backoff.Sleep(ctx, f.works) {
		return ctx.Err()
	}
	return f.err
}

func (f frail) close() error { return nil }

// opened runs a persistence for an hour and returns how long each wait for the
// next opening was, and what it logged. next tells what the n-th opening gives.
func opened(t *testing.T, next func(n int) (attester, error)) (waits []time.Duration, log string) {
	t.Helper()
	var text strings.Builder
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		last := time.Now()
		p := persistence{
			open: func() (attester, error) {
				waits = append(waits, time.Since(last))
				a, err := next(len(waits))
				last = time.Now()
				if f, ok := a.(frail); ok {
					last = last.Add(f.works)
				}
				return a, err
			},
			pause: backoff.Pauses{First: firstReopen, Last: lastReopen, Random: func() float64 { return 0 }},
			log:   slog.New(slog.NewJSONHandler(&text, nil)),
		}
		if err := p.run(ctx, frail{err: errTPM}); err != nil {
			t.Error(err)
		}
	})
	return waits, text.String()
}

// A TPM that is gone is asked for less and less often, whether it cannot be opened
// or fails as soon as it is, and each time is a line in the log.
func TestATPMThatIsGoneIsRetriedWithBackOff(t *testing.T) {
	gone := errors.New("no such device")
	want := []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second, 15 * time.Second}
	for name, next := range map[string]func(int) (attester, error){
		"cannot be opened": func(int) (attester, error) { return nil, gone },
		"fails at once":    func(int) (attester, error) { return frail{err: fmt.Errorf("%w: %w", errTPM, gone)}, nil },
	} {
		waits, log := opened(t, next)
		if d := cmp.Diff(want, waits[:len(want)]); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if lines := strings.Count(log, "\n"); lines != len(waits)+1 || lines > 300 {
			t.Errorf("%s: %d lines of %d openings in an hour", name, lines, len(waits))
		}
		if !strings.Contains(log, `"error":"no such device","retry":"15s"`) && !strings.Contains(log, `"error":"the TPM failed: no such device","retry":"15s"`) {
			t.Errorf("%s: the log says\n%.500s", name, log)
		}
	}
}

func TestATPMThatHasWorkedIsRetriedSoon(t *testing.T) {
	waits, _ := opened(t, func(n int) (attester, error) {
		works := time.Duration(0)
		if n == 5 {
			works = settled
		}
		return frail{works: works, err: errTPM}, nil
	})
	want := []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 500 * time.Millisecond}
	if d := cmp.Diff(want, waits[:len(want)]); d != "" {
		t.Error(d)
	}
}

func TestOtherErrorsEndTheAgent(t *testing.T) {
	lost := errors.New("the list cannot be watched")
	p := persistence{open: func() (attester, error) { t.Error("opened anew"); return nil, nil }}
	if err := p.run(t.Context(), frail{err: lost}); !errors.Is(err, lost) {
		t.Errorf("%v, want %v", err, lost)
	}
}
