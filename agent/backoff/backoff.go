// Package backoff spaces out attempts at what fails for a while: a verifier that
// is down, a TPM that is gone.
package backoff

import (
	"context"
	"time"
)

// Pauses are waits that double from First to Last.
type Pauses struct {
	First, Last time.Duration
	Random      func() float64 // in [0, 1)

	d time.Duration
}

// Next returns the next wait, of which the upper half is random: machines that
// lost something together do not come back together.
func (p *Pauses) Next() time.Duration {
	p.d = min(max(2*p.d, p.First), p.Last)
	return p.d/2 + time.Duration(p.Random()*float64(p.d/2))
}

// Reset starts over at First.
func (p *Pauses) Reset() { p.d = 0 }

// Sleep reports whether d passed before ctx was done.
func Sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
