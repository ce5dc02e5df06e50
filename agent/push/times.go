package push

import (
	"context"
	"log/slog"
	"time"

	"quicklime/wire"
)

// times is when one evidence came how far.
type times struct {
	trigger wire.Trigger
	began   time.Time // growth was noticed, or evidence was demanded
	proved  time.Time // a quote that covers it was there
	sent    time.Time
	quoting time.Duration // of that, what the TPM took for its quotes
}

// log says on the debug level how long each step took, the verdict coming now. The
// record's time is that of the verdict to the nanosecond, so that others can be
// told from it.
func (t times) log(log *slog.Logger, v wire.Verdict) {
	ctx, now := context.Background(), time.Now()
	if !log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	r := slog.NewRecord(now, slog.LevelDebug, "evidence was answered", 0)
	r.AddAttrs(slog.String("trigger", string(t.trigger)), slog.Bool("accepted", v.Accepted), slog.Uint64("entries", v.Resume.Entries),
		slog.Duration("quote", t.proved.Sub(t.began)), slog.Duration("tpm", t.quoting), slog.Duration("send", t.sent.Sub(t.proved)), slog.Duration("verdict", now.Sub(t.sent)))
	log.Handler().Handle(ctx, r)
}
