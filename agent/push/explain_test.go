package push

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"quicklime/agent/backoff"
	"quicklime/wire/channel"
	"quicklime/wire/wiretest"
)

func TestThePauseAfterASessionFitsItsEnd(t *testing.T) {
	remote := func(c channel.Code) error {
		return fmt.Errorf("verifier: %w", &channel.CloseError{Code: c, Remote: true})
	}
	for _, c := range []struct {
		err   error
		least time.Duration
		log   string
	}{
		{remote(channel.CodeDisplaced), displacedPause, `"level":"ERROR"`},
		{&channel.CloseError{Code: channel.CodeDisplaced}, 0, `"level":"WARN","msg":"the session ended"`}, // our own close
		{remote(channel.CodeNotEnrolled), 0, "is it enrolled?"},
		{remote(channel.CodeShutdown), 0, `"level":"INFO"`},
		{errors.New("lost"), 0, `"level":"WARN"`},
	} {
		var l wiretest.Log
		pause := backoff.Pauses{First: firstPause, Last: lastPause, Random: func() float64 { return 0 }}
		got := explain(slog.New(slog.NewJSONHandler(&l, nil)), c.err, &pause)
		if want := max(c.least, firstPause/2); got != want {
			t.Errorf("%v: pause of %v, want %v", c.err, got, want)
		}
		if l.Count(c.log) != 1 || l.Count(`"retry":"`+got.String()+`"`) != 1 {
			t.Errorf("%v: the log says %s", c.err, l.String())
		}
	}
}
