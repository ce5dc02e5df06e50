package tenant

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"quicklime/wire/pki"
	"quicklime/wire/rest"
)

// now is when the tests' programs run.
var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// fake is a registrar and a verifier that keep everything in memory and judge
// nothing, behind the real TLS and the real routes.
type fake struct {
	mu       sync.Mutex
	machines map[string]rest.Machine
	agents   map[string]rest.Agent
	policies map[string]rest.RuntimePolicy
	boots    map[string]rest.BootPolicy
	tokens   []rest.JoinToken
	enrolled []rest.Enrolment
	moved    chan struct{} // closed and replaced when an agent changes
	polls    int           // calls that waited for an agent's change

	payloads map[string]*fakePayload // by agent/name

	payloadFloor uint64 // of every agent
	breaks       int    // how often an upload is broken off
	unreadable   int    // join tokens

	events      []rest.Event
	deadLetters []rest.DeadLetter
	changedDead []string // requests to retry or drop

	failures  map[rest.Route]error  // what a route answers instead
	before    map[rest.Route]func() // what is done before a route answers
	liar      bool                  // the registrar says it accepted keys and did not
	untied    bool                  // one failure ties a list to no boot, and is not cleared
	dir       string                // configuration and keys
	registrar *down
	verifier  *down
}

// down takes a server down; when Close returns nothing listens any more. Open
// takes it up again at the same address.
type down struct {
	close func()
	open  func()
}

func (d *down) Close() { d.close() }
func (d *down) Open()  { d.open() }

// start serves a new fake and writes a tenant's configuration for it.
func start(t *testing.T) *fake {
	t.Helper()
	f := &fake{
		machines: map[string]rest.Machine{}, agents: map[string]rest.Agent{}, policies: map[string]rest.RuntimePolicy{}, boots: map[string]rest.BootPolicy{},
		payloads: map[string]*fakePayload{},
		moved:    make(chan struct{}), failures: map[rest.Route]error{}, dir: t.TempDir(),
	}
	ca, err := pki.Open(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.EnsureClient("tenant", string(rest.RoleOperator)); err != nil {
		t.Fatal(err)
	}
	certificate, err := ca.Server("fake", []string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	var registrar, verifier string
	f.registrar, registrar = f.serve(t, ca, certificate, rest.RegistrarRoutes, f.registrarHandlers())
	handlers := f.verifierHandlers()
	maps.Copy(handlers, f.payloadHandlers())
	f.verifier, verifier = f.serve(t, ca, certificate, rest.VerifierRoutes, handlers)
	f.configure(t, fmt.Sprintf("registrar_url = %q\nverifier_url = %q\nca = %q\ncertificate = %q\nkey = %q\nca_dir = %q\npayload_dir = %q\nek_trust_anchors = %q\n",
		registrar, verifier, f.file("ca.crt"), f.file("tenant.crt"), f.file("tenant.key"), f.file("authority"), f.file("payloads"), f.file("anchors")))
	return f
}

func (f *fake) file(name string) string { return filepath.Join(f.dir, name) }

// write makes a file and returns its name.
func (f *fake) write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(f.file(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return f.file(name)
}

func (f *fake) configure(t *testing.T, toml string) { f.write(t, "tenant.toml", toml) }

func (f *fake) serve(t *testing.T, ca *pki.Authority, s *pki.Server, routes []rest.Route, handlers map[rest.Route]rest.Handler) (*down, string) {
	t.Helper()
	for route, h := range handlers {
		handlers[route] = f.locked(route, h)
	}
	log := slog.New(slog.DiscardHandler)
	mux, err := rest.NewMux(routes, handlers, rest.CertificateRole(pki.RoleOf), log)
	if err != nil {
		t.Fatal(err)
	}
	d, address := &down{}, "127.0.0.1:0"
	d.open = func() {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		address = l.Addr().String()
		server := rest.NewServer(mux, pki.ServerTLS(ca, s), log)
		gone := make(chan struct{})
		go func() { defer close(gone); server.ServeTLS(l, "", "") }()
		d.close = func() { server.Close(); l.Close(); <-gone }
	}
	d.Open()
	t.Cleanup(d.Close)
	return d, "https://" + address
}

// locked makes one call at a time, and those fail that should.
func (f *fake) locked(route rest.Route, h rest.Handler) rest.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if do := f.before[route]; do != nil {
			do()
		}
		if err := f.failures[route]; err != nil {
			return err
		}
		return h(w, r)
	}
}

// set makes an agent what it is from now on.
func (f *fake) set(a rest.Agent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.change(a)
}

// change keeps an agent under a new revision. f.mu is held.
func (f *fake) change(a rest.Agent) rest.Agent {
	a.Revision = f.agents[a.ID].Revision + 1
	f.agents[a.ID] = a
	close(f.moved)
	f.moved = make(chan struct{})
	return a
}

// outcome is what a run of the program left behind.
type outcome struct {
	code           int
	stdout, stderr string
}

// run runs the program against the fake.
func (f *fake) run(t *testing.T, args ...string) outcome {
	t.Helper()
	return f.runWith(t, t.Context(), strings.NewReader(""), args...)
}

func (f *fake) runWith(t *testing.T, ctx context.Context, stdin io.Reader, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p := &program{stdin: stdin, stdout: &stdout, stderr: &stderr, now: func() time.Time { return now }, pause: time.Millisecond}
	code := p.run(ctx, append([]string{"--config", f.dir}, args...))
	return outcome{code, stdout.String(), stderr.String()}
}

func notFound(what, name string) error {
	return rest.Errorf(rest.CodeNotFound, "no %s %s", what, name)
}
