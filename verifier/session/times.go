package session

import (
	"context"
	"log/slog"
	"time"

	"quicklime/verifier/appraise"
)

// logTimes says on the debug level how long evidence that began to arrive then
// took to be verified, its list read and judged, and how long to be committed.
func (s *session) logTimes(ctx context.Context, began time.Time, b appraise.Begun, accepted bool) {
	s.log.LogAttrs(ctx, slog.LevelDebug, "evidence was judged",
		slog.String("trigger", string(b.Trigger())), slog.Bool("accepted", accepted), slog.Uint64("entries", s.standing.Resume.Entries()),
		slog.Duration("verify", s.judged.Sub(began)), slog.Duration("commit", time.Since(s.judged)))
}
