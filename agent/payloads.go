package agent

import (
	"path/filepath"
	"time"

	"quicklime/agent/payload"
	"quicklime/wire/conf"
	"quicklime/wire/daemon"
	"quicklime/wire/jointoken"
	wirepayload "quicklime/wire/payload"
)

// Payload says where payloads are opened and how long they stay.
type Payload struct {
	Dir               string `toml:"dir"`                // in memory; see package payload
	WithdrawUntrusted bool   `toml:"withdraw_untrusted"` // wipe all when the machine is not trusted any more

	Run        string        `toml:"run"`         // what "run-payload" may run: "NAME/PATH" or "*/PATH", with spaces between; empty: nothing
	RunTimeout conf.Duration `toml:"run_timeout"` // how long one program may run
}

// versionsDir says which versions of payloads were opened.
func (c Config) versionsDir() string { return filepath.Join(c.StateDir, "payloads") }

// openPayloads makes what takes payloads: a keeper, or else what refuses them all
// and says why. A machine that cannot open payloads attests all the same.
func (m *machine) openPayloads(cfg Config, member jointoken.Membership) {
	log := cfg.logger()
	if !member.PayloadKey.Set() {
		m.push.Payloads = payload.Closed{Why: "the machine joined with a token without a payload key; let it join again with a new token", Log: log}
		return
	}
	key, err := wirepayload.ParseKey(member.PayloadKey[:])
	if err == nil {
		_, err = m.device.Endorsement() // so that the TPM makes the EK now, and not while it has to quote
	}
	if err == nil {
		m.payloads, err = payload.New(payload.Config{
			Dir: cfg.Payload.Dir, State: cfg.versionsDir(), Agent: member.ID, Key: key, TPM: m.device, Log: log, Now: time.Now,
			WithdrawUntrusted: cfg.Payload.WithdrawUntrusted, Run: payload.Allowed(cfg.Payload.Run),
		})
	}
	if err != nil {
		log.Error("payloads are refused", "error", err, "hint", daemon.Hint(err))
		m.push.Payloads = payload.Closed{Why: "the agent cannot keep payloads; its log says why", Log: log}
		return
	}
	m.push.Payloads = m.payloads
}
