package revocation

import (
	"context"
	"testing"
	"time"

	"quicklime/wire"
	"quicklime/wire/notice"
)

// notices makes events notices, as many as there are.
func (o outbox) notices() {
	o.t.Helper()
	for _, q := range []string{`UPDATE event SET notice = seq`, `UPDATE notices SET last = (SELECT max(seq) FROM event)`} {
		if _, err := o.db.Exec(q); err != nil {
			o.t.Fatal(err)
		}
	}
}

// next opens what follows a number.
func next(t *testing.T, f *Feed, after, limit uint64) notice.Notice {
	t.Helper()
	number, b, err := f.Next(t.Context(), after, limit)
	if err != nil {
		t.Fatal(err)
	}
	if number == 0 {
		return notice.Notice{}
	}
	k, err := notice.KeyOf(&f.keys.Notice.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	n, err := notice.Open(b, k)
	if err != nil {
		t.Fatal(err)
	}
	if missing, err := n.Follow(after, time.Now()); err != nil || missing > 0 && after > 0 || n.Notice().Sequence != number {
		t.Errorf("after %d: %+v, %d missing, %v", after, n.Notice(), missing, err)
	}
	return n.Notice()
}

// What is not there any more, or too long ago, a marker stands for, and says how many.
func TestI28_MarkersStandForWhatIsDropped(t *testing.T) {
	o := newOutbox(t)
	const n = MaxMissed + 50
	for i := range n {
		o.happen(id(i))
	}
	o.notices()
	if _, err := o.db.Exec(`DELETE FROM event WHERE seq IN (101, 102, ?)`, n); err != nil {
		t.Fatal(err)
	}
	f := NewFeed(o.Store, keysOf(t), quiet)
	for _, tt := range []struct {
		after, limit uint64
		want         uint64 // number; 0: nothing
		dropped      uint64
	}{
		{0, n, 47, 47}, // three of the last 1,050 are not there any more
		{50, n, 51, 0},
		{99, n, 100, 0},
		{100, n, 102, 2},
		{101, n, 102, 1},
		{102, n, 103, 0},
		{n - 1, n, n, 1},
		{n, n, 0, 0},
		{100, 101, 101, 1},
		{7, 3, 0, 0},
	} {
		got := next(t, f, tt.after, tt.limit)
		if got.Sequence != tt.want || got.Dropped != tt.dropped || (got.Dropped > 0) != (got.Kind == notice.Dropped) {
			t.Errorf("after %d of %d: %+v", tt.after, tt.limit, got)
		}
	}
}

// Numbers that went on from those of a backup's agents are of no notice: who was away
// gets what there was before and after.
func TestI28_NoNoticeIsLostToAGapInTheNumbers(t *testing.T) {
	o := newOutbox(t)
	for i := range 4 {
		o.happen(id(i))
	}
	o.notices()
	const far = 1 << 20
	if _, err := o.db.Exec(`UPDATE event SET notice = ? + seq WHERE seq > 2`, far); err != nil {
		t.Fatal(err)
	}
	f := NewFeed(o.Store, keysOf(t), quiet)
	var after uint64
	for _, want := range []struct{ number, dropped uint64 }{{1, 0}, {2, 0}, {far + 2, far}, {far + 3, 0}, {far + 4, 0}, {0, 0}} {
		got := next(t, f, after, far+4)
		if got.Sequence != want.number || got.Dropped != want.dropped {
			t.Errorf("after %d: %+v, want %+v", after, got, want)
		}
		after = got.Sequence
	}
}

// A notice is signed once for all, and anew when that runs out; one that cannot be
// signed keeps nobody from the next (I10).
func TestI10_I28_SignedOnceForAll(t *testing.T) {
	o := newOutbox(t)
	for i := range 3 {
		o.happen(id(i))
	}
	o.notices()
	if _, err := o.db.Exec(`UPDATE event SET agent = 'nobody' WHERE seq = 2`); err != nil {
		t.Fatal(err)
	}
	f := NewFeed(o.Store, keysOf(t), quiet)
	if err := f.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, first, _ := f.Next(t.Context(), 0, 3)
	if _, again, _ := f.Next(t.Context(), 0, 3); string(again) != string(first) {
		t.Error("signed again")
	}
	if got := next(t, f, 1, 3); got.Kind != notice.Dropped || got.Sequence != 2 {
		t.Errorf("%+v", got)
	}
	if got := next(t, f, 2, 3); got.Kind != wire.EventLost || got.Sequence != 3 {
		t.Errorf("%+v", got)
	}
	f.signed[1] = signed{f.signed[1].envelope, time.Now().Add(lifetime / 3)}
	if _, again, _ := f.Next(t.Context(), 0, 3); string(again) == string(first) {
		t.Error("a notice is sent that will have expired")
	}
}

// Whoever waits hears of another verifier's events, too.
func TestFeedHearsOfAnotherProcess(t *testing.T) {
	o := newOutbox(t)
	f := NewFeed(o.Store, keysOf(t), quiet)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- f.Run(ctx) }()
	_, grown := f.Last()
	o.happen(id(1))
	o.notices()
	select {
	case <-grown:
	case <-time.After(patience):
		t.Error("it does not")
	}
	if last, _ := f.Last(); last != 1 {
		t.Error(last)
	}
	cancel()
	<-ended
}
