package rest

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"runtime/debug"
)

// requestIDHeader names the request in the answer and in the log.
const requestIDHeader = "X-Request-Id"

// server is the one way into the handlers: it decides who may pass, logs, and
// turns what a handler returns into an answer.
type server struct {
	mux    *http.ServeMux
	roleOf func(*http.Request) Role
	origin *http.CrossOriginProtection // a browser that holds an operator's certificate must not lend it to other sites
	log    *slog.Logger
}

// answer is the writer of one request with what becomes of it.
type answer struct {
	http.ResponseWriter
	role   Role
	err    error // what the handler returned
	status int   // 0: nothing written yet
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := &answer{ResponseWriter: w}
	id := newRequestID()
	a.Header().Set(requestIDHeader, id)
	log := s.log.With("request", id, "method", r.Method, "path", r.URL.Path, "remote", r.RemoteAddr)
	s.dispatch(a, r)
	s.finish(a, r, log)
}

// dispatch finds and runs the handler; what becomes of it is in a.
func (s *server) dispatch(a *answer, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			a.err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	a.role = s.roleOf(r)
	if a.role == RoleRevoked {
		a.err = Errorf(CodeUnauthorised, "this client certificate is revoked").
			WithHint("get the present tenant.crt and tenant.key of the management host; the servers issue it when they start")
		return
	}
	if a.role == "" {
		a.err = Errorf(CodeUnauthorised, "this API needs a client certificate of this installation that carries a role")
		return
	}
	if err := s.origin.Check(r); err != nil {
		a.err = Errorf(CodeForbidden, "the request comes from another site's page")
		return
	}
	if r.URL.Path != path.Clean(r.URL.Path) { // the mux would redirect
		a.err = notFound(r)
		return
	}
	r.Body = http.MaxBytesReader(a, r.Body, MaxBody)
	s.mux.ServeHTTP(a, r)
}

// finish answers with a.err, unless the handler answered itself, and logs.
func (s *server) finish(a *answer, r *http.Request, log *slog.Logger) {
	log = log.With("role", a.role)
	switch {
	case a.err == nil:
	case r.Context().Err() != nil:
		log.Debug(whyEnded(r), "err", a.err)
		panic(http.ErrAbortHandler) // else an empty success could still reach it
	case a.status != 0:
		// Half an answer is on its way: the client must not take it for one.
		log.Error("request failed after its answer began", "err", a.err)
		panic(http.ErrAbortHandler)
	default:
		if clientError(a.err) == nil {
			log.Error("request failed", "err", a.err)
		}
		WriteError(a, a.err)
	}
	level := slog.LevelInfo // who changed what is an operator's business
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		level = slog.LevelDebug
	}
	log.Log(r.Context(), level, "request", "status", a.status)
}

// whyEnded says why the context of r has ended.
func whyEnded(r *http.Request) string {
	if errors.Is(context.Cause(r.Context()), http.ErrServerClosed) {
		return "the server stops"
	}
	return "the client left"
}

func newRequestID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// CertificateRole makes a roleOf for NewMux from the verified certificate of a
// TLS client. A request over anything else, or whose certificate was not
// verified, has no role. read takes the role out of a certificate, "" for none.
func CertificateRole(read func(*x509.Certificate) string) func(*http.Request) Role {
	return func(r *http.Request) Role {
		if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
			return ""
		}
		return Role(read(r.TLS.VerifiedChains[0][0]))
	}
}
