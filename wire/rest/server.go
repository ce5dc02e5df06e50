package rest

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
)

// Handler answers one call. It writes a success itself, with WriteJSON, and
// returns everything else as an error: an *Error goes to the client as it is,
// any other error goes to the log and the client is told CodeInternal.
type Handler func(http.ResponseWriter, *http.Request) error

// NewMux serves routes, each by its handler, and nothing else (I12):
//
//	no role at all          401 unauthorised, whatever the path
//	unknown path            404 not_found
//	known path, no method   405 bad_request, with Allow
//	another role            403 forbidden
//
// roleOf says what the sender of a request may do, "" for nothing; see
// CertificateRole. A route without role or handler or told twice, and a handler
// without route, are errors: a mistake in a table shows at the start.
func NewMux(routes []Route, handlers map[Route]Handler, roleOf func(*http.Request) Role, log *slog.Logger) (http.Handler, error) {
	if err := checkTable(routes, handlers); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	allowed := map[string][]string{} // the methods of a pattern
	for _, r := range routes {
		mux.Handle(r.Method+" "+r.Pattern, call{r.Role, handlers[r]})
		allowed[r.Pattern] = append(allowed[r.Pattern], r.Method)
	}
	for pattern, methods := range allowed {
		slices.Sort(methods)
		mux.Handle(pattern, otherMethod(strings.Join(methods, ", ")))
	}
	mux.Handle("/", call{})
	return &server{mux, roleOf, http.NewCrossOriginProtection(), log}, nil
}

func checkTable(routes []Route, handlers map[Route]Handler) error {
	seen := map[string]bool{}
	for _, r := range routes {
		name := r.Method + " " + r.Pattern
		switch {
		case r.Method == "" || len(r.Pattern) < 2 || r.Pattern[0] != '/':
			return fmt.Errorf("route %q: want a method and a path", name)
		case r.Role == "":
			return fmt.Errorf("route %q has no role", name)
		case handlers[r] == nil:
			return fmt.Errorf("route %q has no handler", name)
		case seen[name]:
			return fmt.Errorf("route %q is in the table twice", name)
		}
		seen[name] = true
	}
	for r := range handlers {
		if !slices.Contains(routes, r) {
			return fmt.Errorf("handler of %q has no route", r.Method+" "+r.Pattern)
		}
	}
	return nil
}

// call is what the mux found for a path: a handler for one role. The zero call
// is a path that does not exist.
type call struct {
	role    Role
	handler Handler
}

// ServeHTTP implements http.Handler. The mux passes on the writer that server
// gave it, an *answer.
func (c call) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := w.(*answer)
	switch {
	case c.handler == nil:
		a.err = notFound(r)
	case a.role != c.role:
		a.err = Errorf(CodeForbidden, "role %q may not call %s %s", a.role, r.Method, r.URL.Path)
	default:
		a.err = c.handler(a, r)
	}
}

func notFound(r *http.Request) error {
	return Errorf(CodeNotFound, "there is no %s in this API", r.URL.Path)
}

// otherMethod answers for a path that has only the listed methods (RFC 9110,
// section 15.5.6).
type otherMethod string

// ServeHTTP implements http.Handler.
func (allowed otherMethod) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Allow", string(allowed))
	e := Errorf(CodeBadRequest, "%s has no method %s, only %s", r.URL.Path, r.Method, allowed)
	WriteJSON(w, http.StatusMethodNotAllowed, ErrorBody{e})
}
