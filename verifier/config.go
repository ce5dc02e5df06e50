package verifier

import (
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"quicklime/verifier/session"
	"quicklime/verifier/severity"
	"quicklime/wire/conf"
	"quicklime/wire/pki"
)

// Config is what an administrator sets, in verifier.toml.
type Config struct {
	// Listen is the address of both the REST API (TCP) and the agents' sessions
	// (UDP).
	Listen string `toml:"listen"`
	// ServerNames are the names and addresses under which clients and agents
	// reach the verifier: they go into its certificate.
	ServerNames []string `toml:"server_names"`
	// StateDir holds the database, and policies as they are compiled.
	StateDir string `toml:"state_dir"`
	// PKIDir holds the installation's CA; the registrar shares it.
	PKIDir string `toml:"pki_dir"`
	// MaxAgents bounds the agents connected at one time.
	MaxAgents int `toml:"max_agents"`

	// PolicyKeys are files of those who may sign policies, runtime and boot, in PEM: public
	// keys, certificates of signers, certificates of their CAs. They are read at
	// start.
	PolicyKeys []string `toml:"policy_keys"`
	// RequireSignedPolicies refuses every policy of either kind that none of them signed, and
	// starts with no other in the database.
	RequireSignedPolicies bool `toml:"require_signed_policies"`

	Challenge Challenge `toml:"challenge"`

	// SeverityLabels are what failures can weigh, the lowest first. A failure of
	// the last makes a machine untrusted.
	SeverityLabels []string `toml:"severity_labels"`
	// SeverityPolicy gives failures their label; the first rule that matches does.
	// What none matches has the last label.
	SeverityPolicy []severity.Rule `toml:"severity_policy"`

	Revocation Revocation `toml:"revocation"`

	Log *slog.Logger `toml:"-"` // nil: slog.Default()

	// OnReady is called with the bound address, once agents and clients can
	// connect. It cannot be configured.
	OnReady func(address string) `toml:"-"`
}

// Challenge bounds how long a compromised machine can look trusted: interval +
// answer + margin.
type Challenge struct {
	Interval conf.Duration `toml:"interval"`
	Answer   conf.Duration `toml:"answer"`
	Margin   conf.Duration `toml:"margin"`
}

// DefaultConfig is the configuration of a management host that runs registrar and
// verifier.
func DefaultConfig() Config {
	t := session.DefaultTiming
	return Config{
		Listen:      "0.0.0.0:8881",
		ServerNames: pki.LocalNames(),
		StateDir:    "/var/lib/quicklime",
		PKIDir:      "/var/lib/quicklime/pki",
		MaxAgents:   20_000,
		Challenge:   Challenge{conf.Duration(t.Challenge), conf.Duration(t.Answer), conf.Duration(t.Margin)},

		SeverityLabels: severity.DefaultLabels(),
		Revocation:     defaultRevocation(),
	}
}

func (c Config) logger() *slog.Logger {
	if c.Log == nil {
		return slog.Default()
	}
	return c.Log
}

func (c Config) database() string { return filepath.Join(c.StateDir, "verifier.db") }

func (c Config) policies() string { return filepath.Join(c.StateDir, "policies") }

func (c Config) timing() session.Timing {
	return session.Timing{
		Challenge: time.Duration(c.Challenge.Interval),
		Answer:    time.Duration(c.Challenge.Answer),
		Margin:    time.Duration(c.Challenge.Margin),
		Renew:     session.DefaultTiming.Renew,
	}
}

// check refuses what cannot work.
func (c Config) check() error {
	switch {
	case len(c.ServerNames) == 0:
		return errors.New("server_names is empty: nobody could check the verifier's certificate")
	case time.Duration(c.Challenge.Interval) < time.Second, time.Duration(c.Challenge.Answer) < time.Second:
		return errors.New("challenge.interval and challenge.answer must be at least 1s: a TPM signs a few times a second")
	case c.RequireSignedPolicies && len(c.PolicyKeys) == 0:
		return errors.New("require_signed_policies is set and policy_keys is empty: nobody could sign a policy")
	case c.MaxAgents < 1:
		return errors.New("max_agents must be at least 1")
	}
	_, err := c.scale()
	return errors.Join(err, c.Revocation.check())
}

func (c Config) scale() (*severity.Scale, error) {
	return severity.New(c.SeverityLabels, c.SeverityPolicy)
}
