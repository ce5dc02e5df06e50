// Package agent is the Attester: a daemon that proves to a verifier what its
// machine has measured.
//
// "quicklime-agent join" registers the machine's TPM under a join token and keeps
// what it learned, the membership, in the state directory. "quicklime-agent run"
// is the daemon. It dials the verifier of the membership and no one else, listens
// on nothing, and runs nothing (I02). Nothing else is on disk: the keys are the
// TPM's, and where to go on in the measurement list the verifier knows.
package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"quicklime/agent/backoff"
	"quicklime/agent/imalog"
	"quicklime/agent/notices"
	"quicklime/agent/payload"
	"quicklime/agent/perf"
	"quicklime/agent/push"
	"quicklime/agent/tpmdev"
	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/daemon"
	"quicklime/wire/jointoken"
	"quicklime/wire/notice"
	"quicklime/wire/tpm"
)

// Run attests until ctx is done, and then returns nil. It returns an error if the
// machine has not joined, its TPM or its measurement list cannot be used from the
// start, or the list cannot be watched any more. A TPM that fails later is opened
// anew until it works.
func Run(ctx context.Context, cfg Config) error {
	member, err := readMembership(cfg.membershipFile())
	if err != nil {
		return err
	}
	m, err := open(cfg, member)
	if err != nil {
		return err
	}
	p := persistence{
		open:  func() (attester, error) { return open(cfg, member) },
		pause: backoff.Pauses{First: firstReopen, Last: lastReopen, Random: rand.Float64},
		log:   cfg.logger(),
	}
	return p.run(ctx, m)
}

// machine is what the agent speaks for: an open TPM and the measurement list.
type machine struct {
	device  *tpmdev.Device
	watcher *imalog.Watcher
	event   *perf.Event // nil: not used
	push    push.Config

	payloads *payload.Keeper // nil: they are refused
}

func open(cfg Config, member jointoken.Membership) (*machine, error) {
	device, err := tpmdev.Open(cfg.TPMDevice)
	if err != nil {
		return nil, err
	}
	m := &machine{device: device}
	if err := m.prepare(cfg, member); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

// prepare makes the keys and finds the list.
func (m *machine) prepare(cfg Config, member jointoken.Membership) error {
	ak, err := attestationKey(m.device)
	if err != nil {
		return err
	}
	transport, err := m.device.Transport()
	if err != nil {
		return err
	}
	certificate, err := transport.TLSCertificate()
	if err != nil {
		return err
	}
	if err := m.watch(cfg); err != nil {
		return err
	}
	list, err := imalog.New(cfg.IMAList)
	if err != nil {
		return err
	}
	m.push = push.Config{
		Verifier: channel.DialConfig{
			Addr: member.Verifier.Address, ServerName: member.Verifier.ServerName, CAPin: member.CAPin,
			ALPN: wire.ALPNAttest, Exporter: wire.ExporterAttest, Certificate: certificate,
		},
		AgentID: member.ID, AK: ak, TPM: m.device, List: list, Grew: m.watcher.Grew(),
		BootLog: cfg.BootLog, SystemdLog: cfg.SystemdLog, Software: daemon.Software(), Log: cfg.logger(),
	}
	m.openPayloads(cfg, member)
	if m.push.Notices, err = takeNotices(cfg, member); err != nil {
		return err
	}
	cfg.logger().Info("quicklime-agent", "version", daemon.Version, "agent", member.ID, "verifier", member.Verifier.Address,
		"tpm", cfg.TPMDevice, "list", cfg.IMAList, "watch", m.watcher.String())
	return nil
}

// takeNotices returns what takes notices of other machines; nil if the machine joined
// by a token without a key for them.
func takeNotices(cfg Config, member jointoken.Membership) (push.Notices, error) {
	if member.RevocationKey == (notice.Key{}) {
		cfg.logger().Warn("this machine joined by a token without the verifier's revocation key and takes no notices of other machines; to change that, join again with a new one")
		return nil, nil
	}
	return notices.Open(notices.Config{
		Key: member.RevocationKey, AgentID: member.ID, State: cfg.noticeFile(), Keys: cfg.noticeKeys(), Spool: cfg.spool(), Actions: cfg.Actions.Dir, Log: cfg.logger(), Now: time.Now,
	})
}

// appendFunction is the function of the kernel that appends to the list and then
// extends the PCR (security/integrity/ima/ima_queue.c): when it has returned, a quote
// covers the entry.
const appendFunction = "ima_add_template_entry"

// watch finds out how to notice growth, and sets the kernel's event if that is wanted
// and granted.
func (m *machine) watch(cfg Config) (err error) {
	kernel, err := imalog.OnSecurityFS(cfg.IMAList)
	if err != nil {
		return err
	}
	c := imalog.WatchConfig{Bounds: cfg.Watch.bounds(), Log: cfg.logger()}
	if kernel && cfg.Watch.Perf.use != perfOff {
		m.event, err = perf.OpenReturn(appendFunction)
		switch {
		case err == nil:
			c.Event = m.event
		case cfg.Watch.Perf.use == perfRequire:
			return daemon.WithHint(err, "grant it, or set perf = \"try\" in [watch] of agent.toml to go on with the timer")
		default:
			c.Log.Warn("the kernel's event is not granted; the timer goes on alone", "error", err)
		}
	}
	m.watcher, err = imalog.NewWatcher(cfg.IMAList, c)
	return err
}

func attestationKey(device *tpmdev.Device) (tpm.Public, error) {
	area, err := device.AK()
	if err != nil {
		return tpm.Public{}, err
	}
	return tpm.ParsePublic(area)
}

// attest watches the list and pushes evidence until ctx is done, the TPM fails
// (errTPM) or the list cannot be watched.
func (m *machine) attest(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.watcher.Run(ctx) })
	if m.payloads != nil {
		g.Go(func() error { return m.payloads.Run(ctx) })
	}
	g.Go(func() error {
		if err := push.Run(ctx, m.push); err != nil {
			return fmt.Errorf("%w: %w", errTPM, err)
		}
		return nil
	})
	return g.Wait()
}

func (m *machine) close() error {
	var errs []error
	if m.push.List != nil {
		errs = append(errs, m.push.List.Close())
	}
	if m.event != nil {
		errs = append(errs, m.event.Close())
	}
	return errors.Join(append(errs, m.device.Close())...)
}
