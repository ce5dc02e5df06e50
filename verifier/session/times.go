package session

import (
	"context"
	"log/slog"
	"time"

	"quicklime/verifier/appraise"
)

// logTimes says on the debug level how long evidence that began to arrive then
// took to be verified, its list read and judged, and how long to be committed,
// which it is now: the record's time is that to the nanosecond.
func (s *session) logTimes(ctx context.Context, began time.Time, b *appraise.Begun, accepted bool) {
	now := time.Now()
	if s.judged.Before(began) || !s.log.Enabled(ctx, slog.LevelDebug) { // it was overtaken, and not judged
		return
	}
	r := slog.NewRecord(now, slog.LevelDebug, "evidence was judged", 0)
	r.AddAttrs(slog.String("trigger", string(b.Trigger())), slog.Bool("accepted", accepted), slog.Uint64("entries", s.standing.Resume.Entries()),
		slog.Duration("verify", s.judged.Sub(began)), slog.Duration("commit", now.Sub(s.judged)))
	s.log.Handler().Handle(ctx, r)
}
