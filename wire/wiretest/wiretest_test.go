package wiretest_test

import (
	"bytes"
	"errors"
	"testing"

	"quicklime/wire"
	"quicklime/wire/wiretest"
)

func TestI04_HostileFramesAreRefused(t *testing.T) {
	for _, m := range []wire.Message{
		wire.Hello{Version: wire.ProtocolVersion, Software: "test"},
		wire.Proof{HMAC: make([]byte, 32)},
		wire.Evidence{Envelope: []byte{1}, PCRs: [][]byte{make([]byte, 32)}},
	} {
		for _, f := range wiretest.Hostile(t, m) {
			if got, err := wire.ReadFrame(bytes.NewReader(f.Bytes)); !errors.Is(err, wire.ErrMalformed) {
				t.Errorf("%T, %s: read as %T, %v", m, f.Name, got, err)
			}
		}
		for _, cut := range wiretest.Cuts(t, m) {
			if got, err := wire.ReadFrame(bytes.NewReader(cut)); err == nil {
				t.Errorf("%T cut after %d bytes: read as %T", m, len(cut), got)
			}
		}
	}
}
