package payload

import (
	"log/slog"

	"quicklime/wire"
	"quicklime/wire/payload"
)

// Closed takes the place of a Keeper on a machine that opens no payload: it refuses
// each, and says why.
type Closed struct {
	Why string // for the operator: printable
	Log *slog.Logger
}

// Take refuses what is offered.
func (c Closed) Take(m wire.Message, _ []byte, reply Reply) bool {
	offers, ok := m.(wire.Offers)
	if !ok {
		return true
	}
	for _, o := range offers.Offers {
		m, err := payload.Read(o.Manifest)
		if err != nil {
			continue
		}
		c.Log.Warn("a payload is refused", "payload", m.Name, "version", m.Version, "why", c.Why)
		if err := reply(wire.PayloadRefusal{Name: m.Name, Version: m.Version, Reason: c.Why}); err != nil {
			return true // the session has ended
		}
	}
	return true
}
