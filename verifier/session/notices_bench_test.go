package session_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"quicklime/agent/actions"
	"quicklime/agent/notices"
	"quicklime/verifier/revocation"
	"quicklime/verifier/store"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/notice"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
)

// crowd is how many agents are connected.
const crowd = 1000

// BenchmarkNotices has a machine fall, and measures from its evidence on, before that is
// quoted, until the last of a thousand other connected agents has verified the notice,
// until a webhook has the event, and until an action has run that a notice started. All
// agents, with their own connections, share the processors with the verifier. What systemd
// takes to start the action is not in it.
func BenchmarkNotices(b *testing.B) {
	v := newVerifier(b, calm)
	victim := v.agent()
	victim.trusted()
	key, err := notice.KeyOf(&v.revocation.PublicKey)
	if err != nil {
		b.Fatal(err)
	}
	hook := v.webhook()
	heard := make(chan time.Time, 10*crowd)
	var all sync.WaitGroup
	for i := range crowd {
		a := v.agent()
		a.AgentID = other(i)
		a.join("web")
		all.Go(func() { a.listen(key, heard) })
	}
	acted := v.acting(key)
	samples := map[string][]time.Duration{}
	for i := 0; b.Loop(); i++ {
		victim.File(fmt.Sprint("/bin/evil/", i), pcr.SHA256.Sum(nil))
		began := time.Now()
		if got := victim.attest(len(victim.List) - 1); got.Trust != wire.Untrusted {
			b.Fatalf("%+v", got)
		}
		var each []time.Duration
		for range crowd {
			each = append(each, (<-heard).Sub(began))
		}
		samples["webhook"] = append(samples["webhook"], (<-hook).Sub(began))
		samples["action"] = append(samples["action"], (<-acted).Sub(began))
		slices.Sort(each)
		samples["p99"] = append(samples["p99"], each[crowd*99/100])
		samples["last"] = append(samples["last"], each[crowd-1])
		victim.cleared()
		for range crowd {
			<-heard // that it is trusted again
		}
		<-hook
		<-acted
	}
	for name, times := range samples {
		slices.Sort(times)
		b.ReportMetric(times[len(times)/2].Seconds()*1e3, name+"-p50-ms")
		b.ReportMetric(times[len(times)-1].Seconds()*1e3, name+"-most-ms")
	}
}

// cleared has the operator clear what stands against the agent.
func (a *agent) cleared() {
	t := a.v.t
	t.Helper()
	_, listed, err := a.v.store.Failures(t.Context(), verifiertest.AgentID)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.v.store.Clear(t.Context(), verifiertest.AgentID, rest.ClearRequest{Failures: 1, Listed: listed}); err != nil {
		t.Fatal(err)
	}
}

// join enrols the agent by its own id under a policy that there is, and has it attest
// and ask for notices.
func (a *agent) join(policy string) {
	t := a.v.t
	t.Helper()
	e := rest.Enrolment{ID: a.AgentID, EKPublic: []byte("ek"), AKPublic: a.AK.Public.Bytes(), Transport: a.transport.Public.Bytes(), LowestBank: pcr.SHA256, Policy: policy}
	if err := a.v.store.Enrol(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	a.File("/bin/a", pcr.SHA256.Sum(nil))
	a.begin()
	if got := a.attest(0); got.Trust != wire.Trusted {
		t.Fatalf("%+v", got)
	}
	a.send(wire.Noticed{})
}

// listen verifies notices until the connection ends.
func (a *agent) listen(key notice.Key, heard chan<- time.Time) {
	for last := uint64(0); ; {
		m, err := a.conn.Receive(0)
		if err != nil {
			return
		}
		n, ok := m.(wire.Notice)
		if !ok {
			continue
		}
		o, err := notice.Open(n.Envelope, key)
		if err == nil {
			_, err = o.Follow(last, time.Now())
		}
		if err != nil {
			a.v.t.Error(err)
		}
		heard <- time.Now()
		last = o.Notice().Sequence
		a.conn.Send(wire.Noticed{Last: last})
	}
}

// webhook has events delivered, and returns when each arrives.
func (v *verifier) webhook() <-chan time.Time {
	t := v.t
	t.Helper()
	arrived := make(chan time.Time, 10)
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { arrived <- time.Now() }))
	t.Cleanup(s.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := revocation.OpenKeys(v.ca, true)
	if err != nil {
		t.Fatal(err)
	}
	v.store.Route(store.Routing{Notices: wire.EventKinds, Webhooks: map[string][]wire.EventKind{"siem": wire.EventKinds}}) // nobody writes yet
	sender, err := revocation.New(v.store, revocation.Config{Webhooks: []revocation.Webhook{{Name: "siem", URL: s.URL, CA: ca}}, GiveUp: time.Hour, Keys: keys, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- sender.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return arrived
}

// acting is one more agent, with a spool and an action, and returns when that has run.
func (v *verifier) acting(key notice.Key) <-chan time.Time {
	t := v.t
	t.Helper()
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	script := filepath.Join(dir, "actions.d", "touch")
	if err := os.Mkdir(filepath.Dir(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(script, []byte("#!/bin/sh\nread event\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	a := v.agent()
	a.AgentID = other(crowd)
	a.join("web")
	taker, err := notices.Open(notices.Config{Key: key, AgentID: a.AgentID, State: filepath.Join(dir, "last-notice"), Spool: filepath.Join(dir, "notices"),
		Actions: filepath.Dir(script), Log: log, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	acted := make(chan time.Time, 10)
	go func() {
		for {
			m, err := a.conn.Receive(0)
			if err != nil {
				return
			}
			n, ok := m.(wire.Notice)
			if !ok {
				continue
			}
			answer := taker.Take(bytes.Clone(n.Envelope))
			if answer.Refused != "" {
				t.Errorf("%+v", answer)
			}
			err = actions.Run(t.Context(), actions.Config{Dir: filepath.Dir(script), Spool: filepath.Join(dir, "notices"), State: filepath.Join(dir, "state"),
				Key: key, AgentID: a.AgentID, Timeout: time.Minute, Log: log})
			if err != nil {
				t.Error(err)
			}
			acted <- time.Now()
			a.send(answer)
		}
	}()
	return acted
}
