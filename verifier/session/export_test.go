package session

import "time"

// PauseAfterRefusal has notices that an agent refused sent again after d. It is to be
// called before the server serves anybody.
func (s *Server) PauseAfterRefusal(d time.Duration) { s.refusedPause = d }
