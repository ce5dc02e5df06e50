package rest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// roleHeader carries the role in tests.
const roleHeader = "Test-Role"

func roleOf(r *http.Request) Role { return Role(r.Header.Get(roleHeader)) }

// newMux serves routes by one handler and returns what it logs.
func newMux(t *testing.T, routes []Route, h Handler) (http.Handler, *bytes.Buffer) {
	t.Helper()
	handlers := map[Route]Handler{}
	for _, r := range routes {
		handlers[r] = h
	}
	var log bytes.Buffer
	mux, err := NewMux(routes, handlers, roleOf, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	return mux, &log
}

func ok(w http.ResponseWriter, r *http.Request) error {
	return WriteJSON(w, http.StatusOK, map[string]string{"id": r.PathValue("id")})
}

// send sends a request and returns the answer and the error in the answer, nil
// for none.
func send(t *testing.T, h http.Handler, method, path string, role Role) (*http.Response, *Error) {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	r.Header.Set(roleHeader, string(role))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), readError(t, w.Result())
}

func readError(t *testing.T, resp *http.Response) *Error {
	t.Helper()
	if resp.StatusCode < 400 {
		return nil
	}
	if ct := resp.Header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("an error of type %q", ct)
	}
	d := json.NewDecoder(resp.Body)
	d.DisallowUnknownFields()
	var body ErrorBody
	if err := d.Decode(&body); err != nil || body.Error == nil {
		t.Fatalf("status %d without an error in its body: %v", resp.StatusCode, err)
	}
	return body.Error
}

func TestI12_EveryRouteIsClosed(t *testing.T) {
	for name, routes := range map[string][]Route{"registrar": RegistrarRoutes, "verifier": VerifierRoutes} {
		called := false
		mux, _ := newMux(t, routes, func(http.ResponseWriter, *http.Request) error { called = true; return nil })
		for _, r := range routes {
			path := strings.NewReplacer("{id}", "x", "{name}", "x").Replace(r.Pattern)
			tests := []struct {
				role   Role
				status int
				code   Code
			}{
				{"", http.StatusUnauthorized, CodeUnauthorised},
				{"auditor", http.StatusForbidden, CodeForbidden},
				{"Operator", http.StatusForbidden, CodeForbidden},
				{r.Role, http.StatusOK, ""},
			}
			for _, tt := range tests {
				called = false
				resp, e := send(t, mux, r.Method, path, tt.role)
				if resp.StatusCode != tt.status || e != nil && e.Code != tt.code || called != (tt.status == http.StatusOK) {
					t.Errorf("%s: %s %s as %q: status %d, error %v, handler called: %v; want status %d", name, r.Method, path, tt.role, resp.StatusCode, e, called, tt.status)
				}
			}
		}
	}
}

func TestI12_UnknownPathsAndMethods(t *testing.T) {
	mux, _ := newMux(t, VerifierRoutes, ok)
	tests := []struct {
		method, path string
		role         Role
		status       int
		code         Code
		allow        string
	}{
		{"GET", "/", RoleOperator, 404, CodeNotFound, ""},
		{"GET", "/v1/agent", RoleOperator, 404, CodeNotFound, ""},
		{"GET", "/v1/agents/x/y", RoleOperator, 404, CodeNotFound, ""},
		{"GET", "/v1/agents/", RoleOperator, 404, CodeNotFound, ""},
		{"GET", "/v1//agents", RoleOperator, 404, CodeNotFound, ""},
		{"GET", "/v1/x/../agents", RoleOperator, 404, CodeNotFound, ""},
		{"GET", "/v1/agents/%2e%2e/policies", RoleOperator, 404, CodeNotFound, ""},
		{"GET", "/nowhere", "", 401, CodeUnauthorised, ""},
		{"PUT", "/v1/agents", "", 401, CodeUnauthorised, ""},
		{"PUT", "/v1/agents", RoleOperator, 405, CodeBadRequest, "GET, POST"},
		{"POST", "/v1/agents/x", RoleOperator, 405, CodeBadRequest, "DELETE, GET, PATCH"},
		{"GET", "/v1/agents/x/clear", RoleOperator, 405, CodeBadRequest, "POST"},
	}
	for _, tt := range tests {
		resp, e := send(t, mux, tt.method, tt.path, tt.role)
		if resp.StatusCode != tt.status || e == nil || e.Code != tt.code || resp.Header.Get("Allow") != tt.allow {
			t.Errorf("%s %s as %q: status %d, error %v, Allow %q; want %d, %s, %q", tt.method, tt.path, tt.role, resp.StatusCode, e, resp.Header.Get("Allow"), tt.status, tt.code, tt.allow)
		}
	}
}

func TestI12_NewMuxRefuses(t *testing.T) {
	noRole := Route{Method: "GET", Pattern: "/v1/x"}
	relative := Route{"GET", "v1/x", RoleOperator, ""}
	root := Route{"GET", "/", RoleOperator, ""}
	tests := []struct {
		name     string
		routes   []Route
		handlers map[Route]Handler
		want     string
	}{
		{"no role", []Route{noRole}, map[Route]Handler{noRole: ok}, "has no role"},
		{"no handler", []Route{GetAgent}, nil, "has no handler"},
		{"nil handler", []Route{GetAgent}, map[Route]Handler{GetAgent: nil}, "has no handler"},
		{"no route", []Route{GetAgent}, map[Route]Handler{GetAgent: ok, ListAgents: ok}, "has no route"},
		{"twice", []Route{GetAgent, GetAgent}, map[Route]Handler{GetAgent: ok}, "in the table twice"},
		{"relative path", []Route{relative}, map[Route]Handler{relative: ok}, "want a method and a path"},
		{"every path", []Route{root}, map[Route]Handler{root: ok}, "want a method and a path"},
	}
	for _, tt := range tests {
		_, err := NewMux(tt.routes, tt.handlers, roleOf, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error is %v, want one with %q", tt.name, err, tt.want)
		}
	}
}

func TestI09_I10_Answers(t *testing.T) {
	secret := errors.New("disk /var/lib is full")
	tests := []struct {
		name    string
		handler Handler
		status  int
		want    *Error // nil: success
		logged  string // part of a line of the log at level error; "" none
	}{
		{"success", ok, 200, nil, ""},
		{"error of the call", func(http.ResponseWriter, *http.Request) error {
			return fmt.Errorf("store: %w", Errorf(CodeConflict, "agent %s is enrolled", "x").WithHint("delete it"))
		}, 409, &Error{CodeConflict, "agent x is enrolled", "delete it"}, ""},
		{"internal error", func(http.ResponseWriter, *http.Request) error { return secret }, 500, &Error{Code: CodeInternal, Message: "internal error"}, secret.Error()},
		{"internal error in the table's words", func(http.ResponseWriter, *http.Request) error { return Errorf(CodeInternal, "%v", secret) }, 500, &Error{Code: CodeInternal, Message: "internal error"}, secret.Error()},
		{"code outside the table", func(http.ResponseWriter, *http.Request) error { return Errorf("teapot", "%v", secret) }, 500, &Error{Code: CodeInternal, Message: "internal error"}, secret.Error()},
		{"panic", func(http.ResponseWriter, *http.Request) error { panic(secret) }, 500, &Error{Code: CodeInternal, Message: "internal error"}, "panic: " + secret.Error()},
		{"what JSON cannot say", func(w http.ResponseWriter, _ *http.Request) error { return WriteJSON(w, 200, func() {}) }, 500, &Error{Code: CodeInternal, Message: "internal error"}, "unsupported type"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mux, log := newMux(t, []Route{GetAgent}, tt.handler)
			resp, e := send(t, mux, "GET", "/v1/agents/x", RoleOperator)
			id := resp.Header.Get("X-Request-Id")
			want := tt.want
			if tt.status == 500 {
				want = want.WithHint("the server's log says more under request %s", id)
			}
			if diff := cmp.Diff(want, e); diff != "" || resp.StatusCode != tt.status {
				t.Errorf("status %d, want %d; error: %s", resp.StatusCode, tt.status, diff)
			}
			if resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("X-Content-Type-Options") != "nosniff" || len(id) != 16 {
				t.Errorf("headers %v", resp.Header)
			}
			i := slices.IndexFunc(strings.Split(log.String(), "\n"), func(l string) bool {
				return strings.Contains(l, "level=ERROR") && strings.Contains(l, "request="+id) && strings.Contains(l, tt.logged)
			})
			if (i >= 0) != (tt.logged != "") {
				t.Errorf("want a line with %q at level error, log is %s", tt.logged, log)
			}
		})
	}
}

// A client that has half an answer must not take it for a whole one.
func TestErrorAfterTheAnswerBegan(t *testing.T) {
	mux, log := newMux(t, []Route{GetAgent}, func(w http.ResponseWriter, _ *http.Request) error {
		io.WriteString(w, `{"id": `)
		return errors.New("row 7")
	})
	defer func() {
		if p := recover(); p != http.ErrAbortHandler {
			t.Errorf("panic %v, want http.ErrAbortHandler", p)
		}
		if !strings.Contains(log.String(), "row 7") {
			t.Errorf("not logged: %s", log)
		}
	}()
	send(t, mux, "GET", "/v1/agents/x", RoleOperator)
}

// A client that leaves while it waits is no failure of ours.
func TestClientThatLeft(t *testing.T) {
	mux, log := newMux(t, []Route{GetAgent}, func(_ http.ResponseWriter, r *http.Request) error {
		return fmt.Errorf("wait: %w", r.Context().Err())
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, "GET", "/v1/agents/x", nil)
	r.Header.Set(roleHeader, string(RoleOperator))
	func() {
		defer func() {
			if recover() != http.ErrAbortHandler {
				t.Error("the connection was not aborted")
			}
		}()
		mux.ServeHTTP(httptest.NewRecorder(), r)
	}()
	if strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "the client left") {
		t.Errorf("log is %s", log)
	}
}

func TestI12_OtherSitesPage(t *testing.T) {
	mux, _ := newMux(t, []Route{ClearAgent}, ok)
	for site, want := range map[string]int{"cross-site": 403, "same-site": 403, "same-origin": 200, "": 200} {
		r := httptest.NewRequest("POST", "/v1/agents/x/clear", nil)
		r.Header.Set(roleHeader, string(RoleOperator))
		if site != "" {
			r.Header.Set("Sec-Fetch-Site", site)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("Sec-Fetch-Site %q: status %d, want %d", site, w.Code, want)
		}
	}
}

func TestChangesAreLogged(t *testing.T) {
	mux, log := newMux(t, VerifierRoutes, ok)
	send(t, mux, "DELETE", "/v1/agents/x", RoleOperator)
	for _, part := range []string{"level=INFO", "method=DELETE", "path=/v1/agents/x", "role=operator", "status=200", "remote="} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("the log lacks %s: %s", part, log)
		}
	}
}

func TestI12_CertificateRole(t *testing.T) {
	cert := &x509.Certificate{}
	read := CertificateRole(func(c *x509.Certificate) string {
		if c != cert {
			t.Error("not the verified leaf")
		}
		return "operator"
	})
	tests := []struct {
		name  string
		state *tls.ConnectionState
		want  Role
	}{
		{"no TLS", nil, ""},
		{"no certificate", &tls.ConnectionState{}, ""},
		{"not verified", &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}, ""},
		{"verified", &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{cert, {}}}}, RoleOperator},
	}
	for _, tt := range tests {
		if got := read(&http.Request{TLS: tt.state}); got != tt.want {
			t.Errorf("%s: role %q, want %q", tt.name, got, tt.want)
		}
	}
}
