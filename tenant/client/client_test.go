package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quicklime/wire/rest"
)

// serve returns clients of a TLS server that answers with h.
func serve(t *testing.T, h http.HandlerFunc) (*Registrar, *Verifier) {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	config := &tls.Config{RootCAs: roots}
	r, err := NewRegistrar(s.URL, config)
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewVerifier(s.URL, config)
	if err != nil {
		t.Fatal(err)
	}
	return r, v
}

// Every method calls its route, with its body, and decodes its answer.
func TestEveryRoute(t *testing.T) {
	var got string
	r, v := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Method, r.URL.RequestURI(), body))
		if kind := r.Header.Get("Content-Type"); (kind == "application/json") != (len(body) > 0) && kind != "application/octet-stream" {
			t.Errorf("%s: Content-Type %q", got, kind)
		}
		if r.Method == "DELETE" {
			w.WriteHeader(204)
			return
		}
		if r.Method == "GET" && (strings.Count(r.URL.Path, "/") == 2 || strings.HasSuffix(r.URL.Path, "/payloads")) {
			fmt.Fprint(w, `{"payloads":[{"name":"x"}],"agents":[{"id":"x","agent":"x"}],"tokens":[{"id":"x"}],"policies":[{"name":"x"}],"measurements":[{"agent":"x"}],
				"events":[{"id":"x"}],"notice":"eA==","dead_letters":[{"webhook":"x"}]}`)
			return
		}
		if strings.HasSuffix(r.URL.Path, "/boot-log") {
			fmt.Fprint(w, `{"epoch":"x"}`)
			return
		}
		fmt.Fprint(w, `{"id":"x","name":"x"}`)
	})
	label := "l"
	ctx := t.Context()
	calls := []struct {
		call func() (any, error)
		want string
	}{
		{func() (any, error) { return r.Machines(ctx) }, "GET /v1/agents"},
		{func() (any, error) { return r.Machine(ctx, "a/b?c") }, "GET /v1/agents/a%2Fb%3Fc"},
		{func() (any, error) { return nil, r.DeleteMachine(ctx, "a") }, "DELETE /v1/agents/a"},
		{func() (any, error) { return r.AcceptKeys(ctx, "a", "h") }, `POST /v1/agents/a/accept-keys {"keys_hash":"h"}`},
		{func() (any, error) { return r.CreateJoinToken(ctx, rest.JoinTokenRequest{Label: "l", ExpiresIn: 7}) }, `POST /v1/join-tokens {"label":"l","expires_in":7}`},
		{func() (any, error) { return r.JoinTokens(ctx) }, "GET /v1/join-tokens"},
		{func() (any, error) { return nil, r.DeleteJoinToken(ctx, "a") }, "DELETE /v1/join-tokens/a"},
		{func() (any, error) { return v.Agents(ctx) }, "GET /v1/agents"},
		{func() (any, error) { return v.Agent(ctx, "a") }, "GET /v1/agents/a"},
		{func() (any, error) { return v.PollAgent(ctx, "a", 7) }, "GET /v1/agents/a?after=7"},
		{func() (any, error) { return v.Enrol(ctx, rest.Enrolment{ID: "a", LowestBank: 0xB}) }, `POST /v1/agents {"id":"a","label":"","ek_public":null,"ak_public":null,"transport_public":null,"lowest_bank":"sha256"}`},
		{func() (any, error) { return v.Rebind(ctx, rest.Enrolment{ID: "a", LowestBank: 0xB}) }, `POST /v1/agents/a/rebind {"id":"a","label":"","ek_public":null,"ak_public":null,"transport_public":null,"lowest_bank":"sha256"}`},
		{func() (any, error) { return v.Update(ctx, "a", rest.AgentUpdate{Label: &label}) }, `PATCH /v1/agents/a {"label":"l"}`},
		{func() (any, error) { return v.Clear(ctx, rest.Agent{ID: "a", FailureCount: 2, FailuresListed: "x"}) }, `POST /v1/agents/a/clear {"failures":2,"listed":"x"}`},
		{func() (any, error) { return nil, v.Delete(ctx, "a") }, "DELETE /v1/agents/a"},
		{func() (any, error) { return v.RuntimePolicies().List(ctx) }, "GET /v1/policies"},
		{func() (any, error) { return v.RuntimePolicies().Get(ctx, "p") }, "GET /v1/policies/p"},
		{func() (any, error) { return v.RuntimePolicies().GetSigned(ctx, "p") }, "GET /v1/policies/p/signed"},
		{func() (any, error) { return v.RuntimePolicies().Add(ctx, "p", []byte(`{ "a<": 1 }`)) }, `POST /v1/policies {"name":"p","text":"{ \"a\u003c\": 1 }"}`},
		{func() (any, error) { return v.RuntimePolicies().Update(ctx, "p", []byte(`{}`)) }, `PUT /v1/policies/p {"name":"p","text":"{}"}`},
		{func() (any, error) { return nil, v.RuntimePolicies().Delete(ctx, "p") }, "DELETE /v1/policies/p"},
		{func() (any, error) { return v.Payloads(ctx, "a") }, "GET /v1/agents/a/payloads"},
		{func() (any, error) { return v.AllPayloads(ctx) }, "GET /v1/payloads"},
		{func() (any, error) { return v.Payload(ctx, "a/b", "n/m") }, "GET /v1/agents/a%2Fb/payloads/n%2Fm"},
		{func() (any, error) { return v.PollPayload(ctx, "a", "n", 7) }, "GET /v1/agents/a/payloads/n?after=7"},
		{func() (any, error) { return v.AddPayload(ctx, "a", rest.PayloadUpload{Share: []byte{1}}) }, `POST /v1/agents/a/payloads {"manifest":null,"object":null,"secret":null,"share":"AQ=="}`},
		{func() (any, error) { return v.PutPayload(ctx, "a", "n", 3, 5, []byte("bytes")) }, "PUT /v1/agents/a/payloads/n?offset=5&version=3 bytes"},
		{func() (any, error) { return nil, v.DeletePayload(ctx, "a", "n") }, "DELETE /v1/agents/a/payloads/n"},
		{func() (any, error) { return v.BootLog(ctx, "a") }, "GET /v1/agents/a/boot-log"},
		{func() (any, error) { return v.BootPolicies().List(ctx) }, "GET /v1/boot-policies"},
		{func() (any, error) { return v.BootPolicies().Get(ctx, "p") }, "GET /v1/boot-policies/p"},
		{func() (any, error) { return v.BootPolicies().GetSigned(ctx, "p") }, "GET /v1/boot-policies/p/signed"},
		{func() (any, error) { return v.BootPolicies().Add(ctx, "p", []byte(`{ "a<": 1 }`)) }, `POST /v1/boot-policies {"name":"p","text":"{ \"a\u003c\": 1 }"}`},
		{func() (any, error) { return v.BootPolicies().Update(ctx, "p", []byte(`{}`)) }, `PUT /v1/boot-policies/p {"name":"p","text":"{}"}`},
		{func() (any, error) { return nil, v.BootPolicies().Delete(ctx, "p") }, "DELETE /v1/boot-policies/p"},
		{func() (any, error) { return v.SearchMeasurements(ctx, "/a b", "") }, "GET /v1/measurements?path=%2Fa+b"},
		{func() (any, error) { return v.LastEvents(ctx) }, "GET /v1/events"},
		{func() (any, error) { return v.EventsAfter(ctx, 7) }, "GET /v1/events?after=7"},
		{func() (any, error) { return v.PollEvents(ctx, 7) }, "GET /v1/events?after=7&wait=1"},
		{func() (any, error) { k, err := v.RevocationKeys(ctx); return string(k.Notice), err }, "GET /v1/revocation-keys"},
		{func() (any, error) { return v.DeadLetters(ctx) }, "GET /v1/dead-letters"},
		{func() (any, error) {
			_, err := v.RetryDeadLetters(ctx, rest.DeadLetterRequest{Webhook: "w"})
			return nil, err
		}, `POST /v1/dead-letters/retry {"webhook":"w"}`},
		{func() (any, error) {
			_, err := v.DropDeadLetters(ctx, rest.DeadLetterRequest{Event: "e"})
			return nil, err
		}, `POST /v1/dead-letters/drop {"event":"e"}`},
	}
	if want := len(rest.RegistrarRoutes) + len(rest.VerifierRoutes) + 4; len(calls) != want {
		t.Errorf("%d calls for %d routes and four that poll or go on", len(calls), want-4)
	}
	for _, c := range calls {
		answer, err := c.call()
		if err != nil || got != c.want {
			t.Errorf("called %s (%v), want %s", got, err, c.want)
		}
		if text, _ := json.Marshal(answer); answer != nil && !strings.Contains(string(text), `"x"`) {
			t.Errorf("%s: answer %s", c.want, text)
		}
	}
}

// A list that comes in parts is one, and one that does not go on is none.
func TestI04_AllPayloadsGoOn(t *testing.T) {
	next := map[string]string{"": "a", "a": "b", "b": ""}
	_, v := serve(t, func(w http.ResponseWriter, r *http.Request) {
		after := r.URL.Query().Get("after")
		fmt.Fprintf(w, `{"agents":[{"agent":"behind %s"}],"next":%q}`, after, next[after])
	})
	all, err := v.AllPayloads(t.Context())
	if err != nil || len(all) != 3 || all[0].Agent != "behind " || all[2].Agent != "behind b" {
		t.Errorf("%+v, %v", all, err)
	}
	for _, end := range []string{"b", "a", "0"} {
		next["b"] = end
		if _, err := v.AllPayloads(t.Context()); err == nil || !strings.Contains(err.Error(), `after "b"`) {
			t.Errorf("on with %q: %v", end, err)
		}
	}
}

func TestPolicyThatIsNotUTF8IsNotSent(t *testing.T) {
	_, v := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("it was sent") })
	if _, err := v.RuntimePolicies().Add(t.Context(), "p", []byte("{\xff}")); err == nil {
		t.Error("no error")
	}
}

func TestAnswersThatAreErrors(t *testing.T) {
	refusal := rest.Errorf(rest.CodeConflict, "it is there").WithHint("update it")
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   string // of the error, if it is no *rest.Error
	}{
		{"ours", 409, `{"error":{"code":"conflict","message":"it is there","hint":"update it"}}`, ""},
		{"a proxy's", 502, `<html>Bad Gateway</html>`, "502 Bad Gateway"},
		{"another API's", 404, `{"error":"no"}`, "404 Not Found"},
		{"another API's, too", 404, `{"detail":"no"}`, "it has no error code"},
		{"a redirect", 302, ``, "302 Found"},
		{"a page", 200, `<html>`, "is the URL right?"},
	} {
		_, v := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(c.status)
			io.WriteString(w, c.body)
		})
		_, err := v.Agents(t.Context())
		var e *rest.Error
		if c.want == "" && (!errors.As(err, &e) || !cmp.Equal(e, refusal)) {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.want != "" && (errors.As(err, &e) || err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestAnswersAreBounded(t *testing.T) {
	for max, want := range map[int64]error{9: errTooLong, 10: nil, 11: nil} {
		if _, err := readAll(strings.NewReader("0123456789"), max); !errors.Is(err, want) {
			t.Errorf("10 bytes, limit %d: %v", max, err)
		}
	}
}

func TestWaitAgentRepeats(t *testing.T) {
	calls := 0
	_, v := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if calls++; r.URL.Query().Get("after") != "7" {
			t.Errorf("call %d: %s", calls, r.URL)
		}
		revision := 7
		if calls == 3 {
			revision = 8
		}
		fmt.Fprintf(w, `{"revision":%d}`, revision)
	})
	if a, err := v.WaitAgent(t.Context(), "a", 7); err != nil || a.Revision != 8 || calls != 3 {
		t.Errorf("%+v, %v after %d calls", a, err, calls)
	}
}

// The end of the caller's context is the caller's, and no story about servers.
func TestEndOfContext(t *testing.T) {
	release := make(chan struct{})
	_, v := serve(t, func(w http.ResponseWriter, r *http.Request) { <-release })
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := v.WaitAgent(ctx, "a", 7); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// leaving is a server that sees the client leave and ends its answer there.
type leaving struct{ leave func() }

func (l leaving) RoundTrip(r *http.Request) (*http.Response, error) {
	l.leave()
	return &http.Response{StatusCode: 200, Status: "200 OK", Body: http.NoBody, Request: r}, nil
}

func TestHalfAnAnswer(t *testing.T) {
	_, v := serve(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	v.http.Transport = leaving{cancel}
	if _, err := v.Agent(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("after leaving: %v", err)
	}
	v.http.Transport = leaving{func() {}}
	if err := v.Delete(t.Context(), "a"); !errors.Is(err, errForeign) {
		t.Errorf("an empty 200 passes for a deletion: %v", err)
	}
}

func TestURLs(t *testing.T) {
	for base, ok := range map[string]bool{
		"https://localhost:8881":   true,
		"https://localhost:8881/":  true,
		"https://host/prefix":      true,
		"http://localhost:8881":    false,
		"localhost:8881":           false,
		"https://":                 false,
		"https://me@host":          false,
		"https://host?x=1":         false,
		"https://host#x":           false,
		"https://host:port:more\n": false,
	} {
		if _, err := NewVerifier(base, nil); (err == nil) != ok {
			t.Errorf("%q: %v", base, err)
		}
	}
}
