package agent

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"quicklime/agent/backoff"
)

const (
	// firstReopen and lastReopen bound the wait before a TPM that failed is opened
	// anew. A fault that passes loses no heartbeat, and one that lasts fills no log.
	firstReopen = time.Second
	lastReopen  = 30 * time.Second

	// settled is how long a TPM must have worked for its next fault to be a first
	// one: longer than the longest wait, so that one that only opens is not asked
	// more often than one that does not.
	settled = time.Minute
)

// errTPM says that the TPM failed while it was in use.
var errTPM = errors.New("the TPM failed")

// attester is a machine that is open. *machine is one.
type attester interface {
	attest(ctx context.Context) error
	close() error
}

// persistence attests through faults of the TPM.
type persistence struct {
	open  func() (attester, error)
	pause backoff.Pauses
	log   *slog.Logger
}

// run attests with a until ctx is done, and then returns nil. When the TPM fails
// it opens another attester until one works; any other error ends it.
func (p *persistence) run(ctx context.Context, a attester) error {
	for {
		began := time.Now()
		err := errors.Join(a.attest(ctx), a.close())
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, errTPM) {
			return err
		}
		if time.Since(began) >= settled {
			p.pause.Reset()
		}
		if a = p.reopen(ctx, err); a == nil {
			return nil
		}
	}
}

// reopen opens an attester as soon as that can be done, and returns nil when ctx is
// done before. err is why the last one failed.
func (p *persistence) reopen(ctx context.Context, err error) attester {
	for {
		wait := p.pause.Next()
		p.log.Error("the TPM cannot be used; it will be opened anew", "error", err, "retry", wait.String())
		if !backoff.Sleep(ctx, wait) {
			return nil
		}
		a, failure := p.open()
		if failure == nil {
			return a
		}
		err = failure
	}
}
