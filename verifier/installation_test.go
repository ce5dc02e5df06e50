package verifier_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"quicklime/verifier"
	"quicklime/wire/pki"
	"quicklime/wire/rest"
	"quicklime/wire/wiretest"
)

// installation is a verifier that runs, and its operator.
type installation struct {
	t        testing.TB
	cfg      verifier.Config
	addr     string
	pin      [32]byte
	log      *wiretest.Log
	accounts recorder // of verifier and agents
	client   *http.Client
	stop     func()
}

func newInstallation(t testing.TB, change func(*verifier.Config)) *installation {
	t.Helper()
	in := &installation{t: t, cfg: verifier.DefaultConfig(), accounts: newRecorder()}
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
	in.log = new(wiretest.Log)
	in.cfg.Log = in.logger(in.log)
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

// logger keeps text, and accounts.
func (in *installation) logger(text *wiretest.Log) *slog.Logger {
	return slog.New(slog.NewMultiHandler(slog.NewJSONHandler(text, nil), in.accounts))
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

// status is that of an answer, 0 if there is none.
func status(t testing.TB, c *http.Client, method, url string) int {
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

// logs waits until the verifier has logged part of a line.
func (in *installation) logs(part string) {
	in.t.Helper()
	for late := time.Now().Add(patience); in.log.Count(part) == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(late) {
			in.t.Fatalf("the log lacks %q:\n%s", part, in.log)
		}
	}
}

// sessions is how many sessions of an agent the log tells of.
func (in *installation) sessions(id string) (n int) {
	for line := range strings.Lines(in.log.String()) {
		if strings.Contains(line, `"session began"`) && strings.Contains(line, id[:12]) {
			n++
		}
	}
	return n
}
