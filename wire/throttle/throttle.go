// Package throttle keeps those whom nobody knows from filling a log: what they
// cause is logged so often a minute, and counted beyond that.
package throttle

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// window is the time in which records are counted.
const window = time.Minute

// New returns a logger that passes on at most n records a minute. The first one of
// a later minute says with "not_shown" how many were left out before it.
func New(log *slog.Logger, n int) *slog.Logger {
	return slog.New(handler{log.Handler(), &budget{n: n}})
}

// handler is one logger's; those derived from it share the budget.
type handler struct {
	slog.Handler
	budget *budget
}

// Handle implements slog.Handler.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	left, ok := h.budget.spend(r.Time)
	if !ok {
		return nil
	}
	if left > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("not_shown", left))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs), h.budget}
}

// WithGroup implements slog.Handler.
func (h handler) WithGroup(name string) slog.Handler {
	return handler{h.Handler.WithGroup(name), h.budget}
}

// budget is what may be logged.
type budget struct {
	n int // in a window

	mu    sync.Mutex
	began time.Time // the window
	spent int
	left  int // out, since the last record that was not
}

// spend takes a record from the budget. It returns how many were left out before
// it, or false.
func (b *budget) spend(now time.Time) (left int, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.began) >= window || now.Before(b.began) {
		b.began, b.spent = now, 0
	}
	if b.spent >= b.n {
		b.left++
		return 0, false
	}
	b.spent++
	left, b.left = b.left, 0
	return left, true
}
