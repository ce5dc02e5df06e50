package registrar

import (
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"

	"quicklime/wire/pki"
)

// Config is registrar.toml. Each option can also be set by an environment
// variable: QUICKLIME_REGISTRAR_LISTEN and so on.
type Config struct {
	Listen        string   `toml:"listen"`           // host:port of both: REST over TCP, registration over QUIC (UDP)
	StateDir      string   `toml:"state_dir"`        // holds the database
	PKIDir        string   `toml:"pki_dir"`          // holds the installation's CA; shared with the verifier
	ServerNames   []string `toml:"server_names"`     // DNS names and IP addresses in the certificate
	EKAnchors     string   `toml:"ek_trust_anchors"` // directory of CA certificates that may vouch for an EK: .pem, .crt, .cer, .der
	EKCertificate EKPolicy `toml:"ek_certificate"`   // what an EK needs

	Log     *slog.Logger    `toml:"-"` // nil: slog.Default()
	OnReady func(Addresses) `toml:"-"` // called once both listen; nil: nobody asks
}

// Addresses are where a registrar listens.
type Addresses struct {
	REST         net.Addr // TCP
	Registration net.Addr // UDP
}

// EKPolicy says which EKs may register. Whatever it says, a certificate that
// came with an EK must be of that EK, and an EK that nobody vouched for is
// recorded as not trusted.
//
// It is no string, because go-toml never asks UnmarshalText of one.
type EKPolicy uint8

// The policies, the strictest first.
const (
	EKRequire EKPolicy = iota // "require": only with a certificate that an anchor signed
	EKVerify                  // "verify": without a certificate, or with one that an anchor signed
	EKRecord                  // "record": any
)

var ekPolicies = []string{"require", "verify", "record"}

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *EKPolicy) UnmarshalText(b []byte) error {
	i := slices.Index(ekPolicies, string(b))
	if i < 0 {
		return fmt.Errorf("%q is not one of %s", b, strings.Join(ekPolicies, ", "))
	}
	*p = EKPolicy(i)
	return nil
}

// DefaultConfig is the configuration of a registrar that nobody configured.
func DefaultConfig() Config {
	return Config{
		Listen:        "0.0.0.0:8891",
		StateDir:      "/var/lib/quicklime",
		PKIDir:        "/var/lib/quicklime/pki",
		ServerNames:   pki.LocalNames(),
		EKAnchors:     "/etc/quicklime/ek-anchors",
		EKCertificate: EKVerify,
	}
}

func (c Config) logger() *slog.Logger {
	if c.Log == nil {
		return slog.Default()
	}
	return c.Log
}

func (c Config) database() string { return filepath.Join(c.StateDir, "registrar.db") }
