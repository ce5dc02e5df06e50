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
}

// log says on the debug level how long each step took, the verdict coming now.
func (t times) log(log *slog.Logger, v wire.Verdict) {
	log.LogAttrs(context.Background(), slog.LevelDebug, "evidence was answered",
		slog.String("trigger", string(t.trigger)), slog.Bool("accepted", v.Accepted), slog.Uint64("entries", v.Resume.Entries),
		slog.Duration("quote", t.proved.Sub(t.began)), slog.Duration("send", t.sent.Sub(t.proved)), slog.Duration("verdict", time.Since(t.sent)))
}
