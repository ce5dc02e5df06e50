package push

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"quicklime/wire"
)

func TestTimesThatNobodyReadsCostNothing(t *testing.T) {
	var written bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&written, nil))
	at := times{trigger: wire.TriggerGrowth, began: time.Now(), proved: time.Now(), sent: time.Now()}
	if n := testing.AllocsPerRun(100, func() { at.log(log, wire.Verdict{}) }); n > 0 || written.Len() > 0 {
		t.Errorf("%v allocations, %d bytes", n, written.Len())
	}
}
