package session

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"quicklime/verifier/appraise"
)

func TestTimesThatNobodyReadsCostNothing(t *testing.T) {
	var written bytes.Buffer
	s := session{log: slog.New(slog.NewJSONHandler(&written, nil))}
	if n := testing.AllocsPerRun(100, func() { s.logTimes(t.Context(), time.Now(), &appraise.Begun{}, true) }); n > 0 || written.Len() > 0 {
		t.Errorf("%v allocations, %d bytes", n, written.Len())
	}
}
