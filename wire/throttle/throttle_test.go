package throttle_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"quicklime/wire/throttle"
)

func TestI08_StrangersDoNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		log := throttle.New(slog.New(slog.NewTextHandler(&b, nil)), 3)
		for i := range 10 {
			log.With("peer", i).Warn("knock")
		}
		time.Sleep(time.Minute)
		log.WithGroup("g").Warn("knock", "peer", 10)
		var peers, left []string
		for line := range strings.Lines(b.String()) {
			for _, f := range strings.Fields(line) {
				if _, p, ok := strings.Cut(f, "peer="); ok {
					peers = append(peers, p)
				}
				if _, n, ok := strings.Cut(f, "not_shown="); ok {
					left = append(left, n)
				}
			}
		}
		if got, want := fmt.Sprint(peers, left), "[0 1 2 10] [7]"; got != want {
			t.Errorf("%s, want %s:\n%s", got, want, &b)
		}
	})
}
