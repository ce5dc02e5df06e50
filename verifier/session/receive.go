package session

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"quicklime/verifier/appraise"
	"quicklime/verifier/store"
	"quicklime/wire"
)

// turn waits until there is room for the announced list, and returns what notes
// that it has arrived, and what gives the room back. A list that is only read past
// needs none.
func (s *session) turn(ctx context.Context, ev wire.Evidence, b *appraise.Begun) (arrived, leave func(), err error) {
	if b.Resync() {
		return func() {}, func() {}, nil
	}
	p, err := s.server.room.take(ctx, s.enrolment.ID, int64(ev.IMA.Bytes))
	return p.arrived, p.leave, err
}

// received is what was made of the raw bytes of one evidence.
type received struct {
	appraisal *appraise.Appraisal // nil: the list was only read past
	list      *store.Collection
	entries   store.Sequence // of list, once it is stored
	logs      appraise.Logs
	elapsed   time.Duration // of the replay, with the judging
}

// appraisals are shared by the sessions, which wait for the next evidence most of the
// time.
var appraisals = sync.Pool{New: func() any { return new(appraise.Appraisal) }}

// release gives the appraisal back, and with it what it holds of the evidence.
func (r *received) release() {
	if r.appraisal == nil {
		return
	}
	*r.appraisal = appraise.Appraisal{}
	appraisals.Put(r.appraisal)
	r.appraisal = nil
}

// receive replays and judges the list while it arrives, by the policy that is in
// force when it begins to.
func (s *session) receive(ctx context.Context, ev wire.Evidence, b *appraise.Begun) (*received, error) {
	r := &received{}
	raw := s.conn.Raw(ev.IMA.Bytes+ev.Boot+ev.Systemd, 0)
	if b.Resync() {
		_, err := io.Copy(io.Discard, raw)
		return r, err
	}
	p, err := s.server.policy(ctx, s.standing.InForce)
	if errors.Is(err, store.ErrConflict) {
		p, err = nil, nil // what it is in its place, settle finds
	}
	if err != nil {
		return r, err
	}
	r.list = s.server.store.Collect()
	r.appraisal = appraisals.Get().(*appraise.Appraisal)
	r.appraisal.Begin(b, p, r.list)
	if _, err := io.Copy(timed{r.appraisal, &r.elapsed}, io.LimitReader(raw, int64(ev.IMA.Bytes))); err != nil {
		return r, err
	}
	if r.logs.Boot, err = readLog(raw, ev.Boot); err != nil {
		return r, err
	}
	r.logs.Systemd, err = readLog(raw, ev.Systemd)
	return r, err
}

// readLog reads a log of n bytes, nil if it has none.
func readLog(r io.Reader, n uint64) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	return io.ReadAll(io.LimitReader(r, int64(n))) // Check has bounded it
}

// timed takes the time that a writer takes.
type timed struct {
	w       io.Writer
	elapsed *time.Duration
}

func (t timed) Write(p []byte) (int, error) {
	began := time.Now()
	defer func() { *t.elapsed += time.Since(began) }()
	return t.w.Write(p)
}
