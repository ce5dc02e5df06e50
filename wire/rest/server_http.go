package rest

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Deadlines and bounds of the HTTP server (I08).
const (
	// HeaderTimeout bounds TLS handshake and header: both are a few packets.
	HeaderTimeout = 10 * time.Second

	// BodyTimeout bounds a whole request: MaxBody at 50 Mbit/s.
	BodyTimeout = 60 * time.Second

	// AnswerTimeout bounds an answer from the end of the header, waiting
	// included: a call that waits for a change waits less.
	AnswerTimeout = 2 * time.Minute

	// KeepAliveTimeout closes a connection without requests: a person's next
	// command comes within minutes or not at all.
	KeepAliveTimeout = 2 * time.Minute

	// MaxHeader bounds the header: nothing of ours has more than a few names.
	MaxHeader = 16 << 10 // bytes
)

// NewServer returns a server of h over TLS with every deadline set. Its owner
// calls ServeTLS with empty file names, and Shutdown, with which the context of
// every request ends: a call that waits for a change answers at once.
func NewServer(h http.Handler, config *tls.Config, log *slog.Logger) *http.Server {
	requests, end := context.WithCancelCause(context.Background())
	s := &http.Server{
		BaseContext:       func(net.Listener) context.Context { return requests },
		Handler:           h,
		TLSConfig:         config,
		ReadHeaderTimeout: HeaderTimeout,
		ReadTimeout:       BodyTimeout,
		WriteTimeout:      AnswerTimeout,
		IdleTimeout:       KeepAliveTimeout,
		MaxHeaderBytes:    MaxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // handshakes that strangers fail
	}
	s.RegisterOnShutdown(func() { end(http.ErrServerClosed) })
	return s
}
