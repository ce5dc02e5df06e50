package verifier_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"time"

	"quicklime/agent"
	"quicklime/agent/swtpm"
	"quicklime/agent/tpmdev"
	"quicklime/ima"
	"quicklime/wire"
	"quicklime/wire/jointoken"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
	"quicklime/wire/tpm"
	"quicklime/wire/wiretest"
)

// host is a machine with a software TPM, a list and an agent.
type host struct {
	in      *installation
	power   *swtpm.TPM
	device  *tpmdev.Device
	cfg     agent.Config
	log     *wiretest.Log // of the agent
	id      string
	entries uint64 // in the list
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
	h := &host{in: in, power: power, cfg: agent.DefaultConfig(), log: new(wiretest.Log)}
	if h.device, err = tpmdev.OpenShared(power.Device()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.device.Close() })
	root := t.TempDir()
	h.cfg.TPMDevice, h.cfg.Label, h.cfg.StateDir = power.Device(), label, root
	h.cfg.IMAList, h.cfg.BootLog = filepath.Join(root, "list"), filepath.Join(root, "boot")
	h.cfg.Log = in.logger(h.log)
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
	h.entries++
}

// measureFile measures a file whose content is its path.
func (h *host) measureFile(path string) {
	h.in.t.Helper()
	h.measure(ima.NewFileEntry(pcr.SHA256, pcr.SHA256.Sum([]byte(path)), path))
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
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		a := h.status()
		if a.Epoch != nil && a.Epoch.Entries == h.entries && a.Trust == wire.Unjudged && a.FailureCount == 0 {
			return a
		}
		if time.Now().After(deadline) {
			h.in.t.Fatalf("%s does not attest: %+v\nthe verifier says:\n%s", h.cfg.Label, a, h.in.log)
		}
	}
}
