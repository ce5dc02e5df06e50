package daemon

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

// shutdownTimeout bounds how long requests under way may still take.
const shutdownTimeout = 5 * time.Second

// ServeTLS serves s on l, to a bounded number of connections, until ctx ends, lets
// requests under way finish, and returns nil.
func ServeTLS(ctx context.Context, s *http.Server, l net.Listener) error {
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if s.Shutdown(last) != nil {
			s.Close()
		}
	})
	err := s.ServeTLS(limit(l, maxConnections), "", "")
	if stop() {
		return err // it ended by itself
	}
	<-ended // Serve returns when Shutdown begins
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
