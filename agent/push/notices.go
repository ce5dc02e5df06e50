package push

import "quicklime/wire"

// Notices takes what the verifier says of other machines. *notices.Taker is one.
type Notices interface {
	// Begin returns what is said at the beginning of a session.
	Begin() wire.Noticed
	// Take takes a notice, or refuses it, and returns what is answered.
	Take(envelope []byte) wire.Noticed
}

// askForNotices asks for the notices after the last one. What takes them has nothing
// to do yet.
func (s *session) askForNotices() error {
	if s.cfg.Notices == nil {
		return nil
	}
	defer close(s.asked)
	return s.conn.Send(s.cfg.Notices.Begin())
}

// takeNotices takes notices and says so, until the session has ended: the next one asks
// for those that wait. Each is written to a disk that may be slow, and a machine that was
// away gets many at once: no challenge waits behind them. One that is not as it should be
// is no reason to stop attesting.
func (s *session) takeNotices(ended <-chan struct{}) {
	select {
	case <-ended:
		return
	case <-s.asked:
	}
	for {
		select {
		case <-ended:
			return
		case envelope := <-s.notices:
			s.conn.Send(s.cfg.Notices.Take(envelope)) // an error is the connection's, and Receive's
		}
		select {
		case <-ended:
			return
		default: // else of two that are ready it could be the other one, again and again
		}
	}
}
