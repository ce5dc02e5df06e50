package push

import "quicklime/wire"

// Notices takes what the verifier says of other machines. *notices.Taker is one.
type Notices interface {
	// Last returns the number of the last notice that was taken.
	Last() uint64
	// Take takes a notice, and returns how many were missing before it.
	Take(envelope []byte) (missing uint64, err error)
}

// askForNotices asks for the notices after the last one.
func (s *session) askForNotices() error {
	if s.cfg.Notices == nil {
		return nil
	}
	return s.conn.Send(wire.Noticed{Last: s.cfg.Notices.Last()})
}

// notice takes a notice and says so. One that is not as it should be is nothing to
// act on, and no reason to stop attesting.
func (s *session) notice(m wire.Notice) error {
	if s.cfg.Notices == nil {
		return protocolError("a notice that nobody asked for")
	}
	missing, err := s.cfg.Notices.Take(m.Envelope)
	if err != nil {
		s.cfg.Log.Error("a notice was not taken", "error", err)
		return nil
	}
	return s.conn.Send(wire.Noticed{Last: s.cfg.Notices.Last(), Missing: missing})
}
