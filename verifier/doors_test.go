package verifier_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"quicklime/agent"
	"quicklime/agent/swtpm"
	"quicklime/agent/tpmdev"
	"quicklime/ima"
	"quicklime/verifier"
	"quicklime/wire"
	"quicklime/wire/jointoken"
	"quicklime/wire/pcr"
	"quicklime/wire/pki"
	"quicklime/wire/rest"
	"quicklime/wire/tpm"
)

// record keeps what was logged.
type record struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}

// installation is a verifier that runs, and its operator.
type installation struct {
	t      *testing.T
	cfg    verifier.Config
	addr   string
	pin    [32]byte
	log    *record
	client *http.Client
	stop   func()
}

func newInstallation(t *testing.T, change func(*verifier.Config)) *installation {
	t.Helper()
	in := &installation{t: t, cfg: verifier.DefaultConfig()}
	in.cfg.Listen = "127.0.0.1:0"
	in.cfg.StateDir = filepath.Join(t.TempDir(), "state")
	in.cfg.PKIDir = filepath.Join(in.cfg.StateDir, "pki")
	in.cfg.ServerNames = []string{"verifier.test", "127.0.0.1"}
	change(&in.cfg)
	in.start()
	return in
}

// start runs the verifier until the test ends or stop is called.
func (in *installation) start() {
	in.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan string, 1), make(chan error, 1)
	in.log = new(record)
	in.cfg.Log = slog.New(slog.NewJSONHandler(in.log, nil))
	in.cfg.OnReady = func(addr string) { ready <- addr }
	go func() { ended <- verifier.Run(ctx, in.cfg) }()
	in.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			in.t.Errorf("Run: %v", err)
		}
	})
	in.t.Cleanup(in.stop)
	select {
	case in.addr = <-ready:
	case err := <-ended:
		in.t.Fatalf("Run: %v", err)
	}
	ca, err := pki.Open(in.cfg.PKIDir)
	if err != nil {
		in.t.Fatal(err)
	}
	in.pin = ca.Pin()
	in.client = in.operator("tenant")
}

func (in *installation) authority() *pki.Authority {
	in.t.Helper()
	ca, err := pki.Open(in.cfg.PKIDir)
	if err != nil {
		in.t.Fatal(err)
	}
	return ca
}

// operator is a client with a certificate in pki_dir.
func (in *installation) operator(name string) *http.Client {
	in.t.Helper()
	file := func(name string) string { return filepath.Join(in.cfg.PKIDir, name) }
	config, err := pki.ClientTLS(file("ca.crt"), file(name+".crt"), file(name+".key"))
	if err != nil {
		in.t.Fatal(err)
	}
	return in.httpClient(config)
}

func (in *installation) httpClient(config *tls.Config) *http.Client {
	transport := &http.Transport{TLSClientConfig: config}
	in.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// url is that of a route, for something that does not exist.
func (in *installation) url(route rest.Route) string {
	return "https://" + in.addr + strings.NewReplacer("{id}", strings.Repeat("0", 64), "{name}", "none").Replace(route.Pattern)
}

// call makes a call that must succeed.
func (in *installation) call(method, path string, body, into any) {
	in.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		in.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(in.t.Context(), method, "https://"+in.addr+path, bytes.NewReader(b))
	if err != nil {
		in.t.Fatal(err)
	}
	res, err := in.client.Do(req)
	if err != nil {
		in.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		in.t.Fatalf("%s %s: %s", method, path, res.Status)
	}
	if into != nil {
		if err := json.NewDecoder(res.Body).Decode(into); err != nil {
			in.t.Fatal(err)
		}
	}
}

// host is a machine with a software TPM, a list and an agent.
type host struct {
	in     *installation
	power  *swtpm.TPM
	device *tpmdev.Device
	cfg    agent.Config
	log    *record // of the agent
	id     string
	first  uint64 // entries that it began with
}

// newHost makes a machine that has joined and is not enrolled.
func (in *installation) newHost(label string) *host {
	t := in.t
	t.Helper()
	dir := t.TempDir()
	if err := swtpm.Create(t.Context(), dir, []pcr.Bank{pcr.SHA256}); err != nil {
		t.Fatal(err)
	}
	power, err := swtpm.Start(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { power.Kill() })
	h := &host{in: in, power: power, cfg: agent.DefaultConfig(), log: new(record)}
	if h.device, err = tpmdev.OpenShared(power.Device()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.device.Close() })
	root := t.TempDir()
	h.cfg.TPMDevice, h.cfg.Label, h.cfg.StateDir = power.Device(), label, root
	h.cfg.IMAList, h.cfg.BootLog = filepath.Join(root, "list"), filepath.Join(root, "boot")
	h.cfg.Log = slog.New(slog.NewJSONHandler(h.log, nil))
	if err := os.WriteFile(h.cfg.IMAList, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h.measure(ima.NewFileEntry(pcr.SHA256, pcr.SHA256.Sum(make([]byte, 10*32)), ima.BootAggregate))
	e, err := h.device.Endorsement()
	if err != nil {
		t.Fatal(err)
	}
	ek, err := tpm.ParsePublic(e.Public)
	if err != nil {
		t.Fatal(err)
	}
	h.id = ek.AgentID()
	server := jointoken.Server{Address: in.addr, ServerName: "verifier.test"}
	b, err := jointoken.Membership{ID: h.id, TokenID: "0123456789abcdef", CAPin: in.pin, Registrar: server, Verifier: server}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "membership.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return h
}

// measure appends to the list and extends PCR 10, as a kernel does.
func (h *host) measure(e ima.Entry) {
	t := h.in.t
	t.Helper()
	f, err := os.OpenFile(h.cfg.IMAList, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(e.AppendTo(nil)); err != nil {
		t.Fatal(err)
	}
	if err := h.device.Extend(pcr.IMA, map[pcr.Bank][]byte{pcr.SHA256: e.Extends(pcr.SHA256)}); err != nil {
		t.Fatal(err)
	}
	h.first++
}

func (h *host) measureFile(path string) {
	h.in.t.Helper()
	h.measure(ima.NewFileEntry(pcr.SHA256, make([]byte, 32), path))
}

// enrol enrols the machine without a policy. It uses the TPM, which has no room for
// that while the agent runs.
func (h *host) enrol() {
	h.in.t.Helper()
	h.in.call("POST", "/v1/agents", h.enrolment(), nil)
}

func (h *host) enrolment() rest.Enrolment {
	t := h.in.t
	t.Helper()
	e, err := h.device.Endorsement()
	if err != nil {
		t.Fatal(err)
	}
	ak, err := h.device.AK()
	if err != nil {
		t.Fatal(err)
	}
	transport, err := h.device.Transport()
	if err != nil {
		t.Fatal(err)
	}
	return rest.Enrolment{
		ID: h.id, Label: h.cfg.Label, EKPublic: e.Public, AKPublic: ak, Transport: transport.PublicArea(), LowestBank: pcr.SHA256,
	}
}

// run runs the agent until the test ends or stop is called.
func (h *host) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- agent.Run(ctx, h.cfg) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			h.in.t.Errorf("agent.Run: %v", err)
		}
	})
	h.in.t.Cleanup(stop)
	return stop
}

func (h *host) status() (a rest.Agent) {
	h.in.t.Helper()
	h.in.call("GET", "/v1/agents/"+h.id, nil, &a)
	return a
}

// attested waits until everything that the machine measured is certified, and
// nothing failed.
func (h *host) attested() rest.Agent {
	h.in.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		a := h.status()
		if a.Epoch != nil && a.Epoch.Entries == h.first && a.Trust == wire.Unjudged && a.FailureCount == 0 {
			return a
		}
		if time.Now().After(deadline) {
			h.in.t.Fatalf("%s does not attest: %+v\nthe verifier says:\n%s", h.cfg.Label, a, h.in.log)
		}
	}
}

// A machine that came before its enrolment waits on a stranger's place, and has a
// peer's from then on.
func TestAMachineWaitsForItsEnrolment(t *testing.T) {
	in := newInstallation(t, func(c *verifier.Config) { c.MaxAgents = 1 })
	early := in.newHost("early")
	enrolment := early.enrolment()
	early.run()
	for late := time.Now().Add(30 * time.Second); !strings.Contains(in.log.String(), "an agent waits for its enrolment"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("it does not wait:\n%s", in.log)
		}
	}
	in.call("POST", "/v1/agents", enrolment, nil)
	early.attested()
	if n := in.sessions(early.id); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// A walk over every route with every certificate that is none of an operator in
// force.
func TestI12_EveryDoorNeedsAnOperator(t *testing.T) {
	in := newInstallation(t, func(*verifier.Config) {})
	other := newInstallation(t, func(*verifier.Config) {})
	for name, role := range map[string]string{"guest": "guest", "thief": string(rest.RoleOperator)} {
		if err := in.authority().EnsureClient(name, role); err != nil {
			t.Fatal(err)
		}
	}
	config := func(in *installation) *tls.Config {
		return in.operator("tenant").Transport.(*http.Transport).TLSClientConfig
	}
	anonymous, foreign, machine, server := config(in), config(in), config(in), config(in)
	anonymous.Certificates = nil
	foreign.Certificates = config(other).Certificates
	transport, err := in.newHost("box").device.Transport()
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := transport.TLSCertificate()
	if err != nil {
		t.Fatal(err)
	}
	machine.Certificates = []tls.Certificate{certificate}
	pair, err := tls.LoadX509KeyPair(filepath.Join(in.cfg.PKIDir, "verifier.crt"), filepath.Join(in.cfg.PKIDir, "verifier.key"))
	if err != nil {
		t.Fatal(err)
	}
	server.Certificates = []tls.Certificate{pair}
	late := config(in)
	late.Certificates = []tls.Certificate{in.expired()}
	revoked := in.operator("thief")
	revoke(t, in.cfg.PKIDir, "thief")

	for _, route := range rest.VerifierRoutes {
		for name, c := range map[string]struct {
			client *http.Client
			want   int // 0: no answer at all
		}{
			"anonymous":                        {in.httpClient(anonymous), 0},
			"operator of another installation": {in.httpClient(foreign), 0},
			"transport key of a machine":       {in.httpClient(machine), 0},
			"the server's own":                 {in.httpClient(server), 0},
			"operator of last year":            {in.httpClient(late), 0},
			"guest":                            {in.operator("guest"), http.StatusForbidden},
			"revoked operator":                 {revoked, http.StatusUnauthorized},
		} {
			if got := status(t, c.client, route.Method, in.url(route)); got != c.want {
				t.Errorf("%s %s, %s: status %d, want %d", route.Method, route.Pattern, name, got, c.want)
			}
		}
		if got := status(t, in.client, route.Method, in.url(route)); got == 0 || got == http.StatusForbidden || got == http.StatusUnauthorized || got >= 500 {
			t.Errorf("%s %s, operator: status %d", route.Method, route.Pattern, got)
		}
	}
}

// expired is an operator's certificate that was in force until an hour ago.
func (in *installation) expired() tls.Certificate {
	t := in.t
	t.Helper()
	ca, err := tls.LoadX509KeyPair(filepath.Join(in.cfg.PKIDir, "ca.crt"), filepath.Join(in.cfg.PKIDir, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	operator, err := tls.LoadX509KeyPair(filepath.Join(in.cfg.PKIDir, "tenant.crt"), filepath.Join(in.cfg.PKIDir, "tenant.key"))
	if err != nil {
		t.Fatal(err)
	}
	template := *operator.Leaf
	template.NotBefore, template.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, &template, ca.Leaf, operator.Leaf.PublicKey, ca.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: operator.PrivateKey}
}

// A start issues another certificate in the place of one that is revoked, and
// does not take the old one back.
func TestI12_RevokedOperatorStaysOut(t *testing.T) {
	in := newInstallation(t, func(*verifier.Config) {})
	old := in.operator("tenant")
	url := "https://" + in.addr + rest.ListAgents.Pattern
	if got := status(t, old, "GET", url); got != http.StatusOK {
		t.Fatalf("before: status %d", got)
	}
	revoke(t, in.cfg.PKIDir, "tenant")
	if got := status(t, old, "GET", url); got != http.StatusUnauthorized {
		t.Errorf("on an open connection: status %d, want 401", got)
	}
	in.stop()
	in.start()
	url = "https://" + in.addr + rest.ListAgents.Pattern
	if got := status(t, old, "GET", url); got != http.StatusUnauthorized {
		t.Errorf("after a start: status %d, want 401", got)
	}
	if got := status(t, in.client, "GET", url); got != http.StatusOK {
		t.Errorf("the new certificate: status %d", got)
	}
}

// revoke does what docs/operating.md says.
func revoke(t *testing.T, dir, name string) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(pair.Certificate[0])
	f, err := os.OpenFile(filepath.Join(dir, "revoked"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(hex.EncodeToString(sum[:]) + "  -\n"); err != nil {
		t.Fatal(err)
	}
}

// status is that of an answer, 0 if there is none.
func status(t *testing.T, c *http.Client, method, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}
