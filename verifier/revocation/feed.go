package revocation

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"time"

	"quicklime/verifier/store"
	"quicklime/wire"
	"quicklime/wire/notice"
	"quicklime/wire/rest"
)

// Feed has the notices to agents, each signed once for all of them. Run must run
// while it is used.
type Feed struct {
	store *store.Store
	keys  Keys
	log   *slog.Logger

	mu     sync.Mutex
	last   uint64            // number of the newest notice
	grown  chan struct{}     // closed and replaced when last grows
	signed map[uint64]signed // some of the newest
}

// signed is a notice as it is sent.
type signed struct {
	envelope []byte
	expires  time.Time
}

// NewFeed makes a feed.
func NewFeed(s *store.Store, keys Keys, log *slog.Logger) *Feed {
	return &Feed{store: s, keys: keys, log: log, grown: make(chan struct{}), signed: map[uint64]signed{}}
}

// Run takes up new notices, its own verifier's at once and another's within a second,
// until ctx ends.
func (f *Feed) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		happened, leave := f.store.Happened()
		if err := f.look(ctx); err != nil && ctx.Err() == nil {
			f.log.Error("notices cannot be read", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-happened:
		case <-time.After(pollEvery):
		}
		leave()
	}
	return nil
}

// look reads and signs what is new, and wakes who waits for it.
func (f *Feed) look(ctx context.Context) error {
	newest, err := f.store.LastNotice(ctx)
	before, _ := f.Last()
	if err != nil || newest <= before {
		return err
	}
	from := before
	if newest-from > maxSigned {
		from = newest - maxSigned
	}
	all, err := f.store.Notices(ctx, from, maxSigned)
	if err != nil {
		return err
	}
	now := time.Now()
	fresh := map[uint64]signed{}
	for _, e := range all {
		if fresh[e.Notice], err = f.sign(e, now); err != nil {
			f.log.Error("a notice cannot be signed", "sequence", e.Notice, "error", err)
			delete(fresh, e.Notice)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for n, s := range fresh {
		f.signed[n] = s
	}
	for n := range f.signed {
		if n+maxSigned <= newest {
			delete(f.signed, n)
		}
	}
	f.last = newest
	close(f.grown)
	f.grown = make(chan struct{})
	return nil
}

// Successions returns what leads an agent from the key with that id to the verifier's,
// the oldest first, and how the two stand. id is empty if the agent does not say.
func (f *Feed) Successions(id string) (envelopes [][]byte, stands rest.NoticeKey) {
	key, err := notice.KeyOf(&f.keys.Notice.PublicKey)
	if err == nil && key.ID() == id {
		return nil, rest.NoticeKeyCurrent
	}
	envelopes, known := f.keys.before.after(id)
	switch {
	case id == "":
		return envelopes, ""
	case known:
		return envelopes, rest.NoticeKeyEarlier
	}
	return nil, rest.NoticeKeyUnknown
}

// Last returns the number of the newest notice, and a channel that closes when there
// is a newer one.
func (f *Feed) Last() (uint64, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last, f.grown
}

// Next returns the signed notice after a number, not beyond limit, and its number: the
// next one that there is, or first a marker for those that there are not any more. It
// returns 0 if there is nothing up to limit.
func (f *Feed) Next(ctx context.Context, after, limit uint64) (number uint64, envelope []byte, err error) {
	if limit <= after {
		return 0, nil, nil
	}
	if limit-after > MaxMissed {
		// Numbers may have gone on from a backup: not each stands for a notice.
		first, err := f.store.NoticeBefore(ctx, limit, MaxMissed)
		if err != nil {
			return 0, nil, err
		}
		if first > after+1 {
			return f.marker(first-1, first-1-after)
		}
	}
	if b := f.ready(after + 1); b != nil {
		return after + 1, b, nil
	}
	all, err := f.store.Notices(ctx, after, 1)
	if err != nil {
		return 0, nil, err
	}
	if len(all) == 0 || all[0].Notice > limit {
		return f.marker(limit, limit-after)
	}
	if n := all[0].Notice - 1; n > after {
		return f.marker(n, n-after)
	}
	s, err := f.sign(all[0], time.Now())
	if err != nil {
		return f.marker(after+1, 1) // no agent hangs on one that cannot be signed (I10)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.signed) < 2*maxSigned {
		f.signed[after+1] = s
	}
	return after + 1, s.envelope, nil
}

// ready returns a notice that is signed and lasts, or nil.
func (f *Feed) ready(number uint64) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s, ok := f.signed[number]; ok && time.Until(s.expires) > lifetime/2 {
		return s.envelope
	}
	return nil
}

// sign makes the notice of an event.
func (f *Feed) sign(e rest.Event, now time.Time) (signed, error) {
	return f.seal(notice.Notice{
		Sequence: e.Notice, ID: e.ID, Kind: e.Kind, Subject: e.Agent, Label: printable(e.Label), Epoch: e.Epoch, Was: e.Was, Trust: e.Trust,
		Failure: wire.FailureID(printable(string(e.FailureID()))), Severity: printable(e.Severity), At: e.At,
	}, now)
}

// marker stands for notices that are not there any more.
func (f *Feed) marker(upTo, dropped uint64) (uint64, []byte, error) {
	now := time.Now()
	s, err := f.seal(notice.Notice{Sequence: upTo, Kind: notice.Dropped, Was: wire.Removed, Trust: wire.Removed, At: now.Truncate(time.Millisecond), Dropped: dropped}, now)
	return upTo, s.envelope, err
}

func (f *Feed) seal(n notice.Notice, now time.Time) (signed, error) {
	n.Issued = now.Truncate(time.Second)
	n.Expires = n.Issued.Add(lifetime)
	b, err := notice.Sign(n, f.keys.Notice, rand.Reader)
	return signed{b, n.Expires}, err
}

// printable is a text, or none if it is not fit to be shown.
func printable(s string) string {
	if !wire.Printable(s, wire.MaxLabel) {
		return ""
	}
	return s
}
