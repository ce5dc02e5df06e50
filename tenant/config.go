package tenant

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"strings"

	"quicklime/tenant/client"
	"quicklime/wire/conf"
	"quicklime/wire/daemon"
	"quicklime/wire/pki"
)

// Config is tenant.toml. Each option can also be set by an environment variable:
// QUICKLIME_TENANT_REGISTRAR_URL and so on.
type Config struct {
	RegistrarURL string `toml:"registrar_url"` // "https://host:port" of its REST API
	VerifierURL  string `toml:"verifier_url"`
	CA           string `toml:"ca"` // file with the installation's CA certificate
	Certificate  string `toml:"certificate"`
	Key          string `toml:"key"`

	CADir      string `toml:"ca_dir"`           // holds the operator's own authority
	PayloadDir string `toml:"payload_dir"`      // holds the payload key, and how receipts are checked
	EKAnchors  string `toml:"ek_trust_anchors"` // directory of CA certificates that may vouch for the EK to which a payload is sealed

	// Where agents reach the two, for join tokens: host:port and the name in
	// the server's certificate. Empty: host and port of the URL.
	RegistrarAddress    string `toml:"registrar_address"`
	RegistrarServerName string `toml:"registrar_server_name"`
	VerifierAddress     string `toml:"verifier_address"`
	VerifierServerName  string `toml:"verifier_server_name"`
}

// DefaultConfig is the configuration of a tenant on the management host itself.
func DefaultConfig() Config {
	return Config{
		RegistrarURL: "https://localhost:8891",
		VerifierURL:  "https://localhost:8881",
		CA:           "/var/lib/quicklime/pki/ca.crt",
		Certificate:  "/var/lib/quicklime/pki/tenant.crt",
		Key:          "/var/lib/quicklime/pki/tenant.key",
		CADir:        "/var/lib/quicklime/ca",
		PayloadDir:   "/var/lib/quicklime/payloads",
		EKAnchors:    "/etc/quicklime/ek-anchors",
	}
}

// load reads the configuration.
func (p *program) load() (Config, error) {
	c := DefaultConfig()
	dirs := conf.Dirs{Vendor: conf.DefaultDirs.Vendor, System: p.configDir}
	err := conf.Load("tenant", dirs, p.environ, &c)
	if errors.Is(err, fs.ErrNotExist) {
		return c, daemon.WithHint(err, "--config names the directory that holds tenant.toml")
	}
	if errors.Is(err, fs.ErrPermission) {
		return c, daemon.WithHint(err, "run %s as a user who may read it", name)
	}
	return c, daemon.WithHint(err, "the options of tenant.toml are %s", strings.Join(options(), ", "))
}

// options are the names of all options.
func options() (names []string) {
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		names = append(names, t.Field(i).Tag.Get("toml"))
	}
	return names
}

// servers are the registrar and the verifier of the configuration.
type servers struct {
	config    Config
	registrar *client.Registrar
	verifier  *client.Verifier
}

// connect makes the clients of both servers. It dials neither.
func (p *program) connect() (servers, error) {
	c, err := p.load()
	if err != nil {
		return servers{}, err
	}
	t, err := pki.ClientTLS(c.CA, c.Certificate, c.Key)
	if err != nil {
		return servers{}, daemon.WithHint(err, "%s, or name others with ca, certificate and key in %s/tenant.toml", c.credentialHint(err), p.configDir)
	}
	s := servers{config: c}
	if s.registrar, err = client.NewRegistrar(c.RegistrarURL, t); err != nil {
		return servers{}, daemon.WithHint(err, "set registrar_url in %s/tenant.toml", p.configDir)
	}
	if s.verifier, err = client.NewVerifier(c.VerifierURL, t); err != nil {
		return servers{}, daemon.WithHint(err, "set verifier_url in %s/tenant.toml", p.configDir)
	}
	return s, nil
}

// credentialHint says what can be done about files that pki.ClientTLS refuses.
func (c Config) credentialHint(err error) string {
	key, failure := os.Stat(c.Key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "registrar and verifier make these files when they first start: start them, or bring the files here"
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("run %s as a user who may read these files", name)
	case failure == nil && key.Mode().Perm()&0o077 != 0:
		return fmt.Sprintf("chmod 600 %s, with a new key in it if others could have read this one", c.Key)
	}
	return "take all three from the pki_dir of one installation"
}
