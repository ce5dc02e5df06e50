package tenant

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"quicklime/wire/conf"
	"quicklime/wire/daemon"
	"quicklime/wire/jointoken"
	"quicklime/wire/payload"
)

// maxPayloadKey bounds a file with a key on P-256 in PEM: some 250 bytes.
const maxPayloadKey = 4 << 10 // bytes

// payloadKeyInfo is the JSON of "payload key".
type payloadKeyInfo struct {
	File   string `json:"file"`
	Public string `json:"public_file"`
	KeyID  string `json:"key_id"` // as manifests name it
}

func (p *program) payloadKeyNoun() *cobra.Command {
	return p.noun(&cobra.Command{
		Use:   "key",
		Short: "The key that signs payloads, which join tokens carry to machines",
	}, p.payloadKeyInit(), p.payloadKeyShow())
}

func (p *program) payloadKeyInit() *cobra.Command {
	return &cobra.Command{
		Use:   "init",
		Short: "Make the key that signs payloads",
		Long: `Make the key that signs payloads: payload.key and payload.pub in payload_dir of
tenant.toml. Join tokens that are made from now on carry the public key, and a machine
opens only what it has signed. A machine that joined before has to join again.

Whoever has payload.key can send payloads to machines of this installation, if he can
also reach the verifier's API; he cannot read those of others. Where tokens are made
elsewhere than payloads are sent, copy payload.pub there.`,
		Args: exactly(0, "no argument"),
		RunE: func(*cobra.Command, []string) error { return p.initPayloadKey() },
	}
}

func (p *program) payloadKeyShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show which key signs payloads",
		Args:  exactly(0, "no argument"),
		RunE: func(*cobra.Command, []string) error {
			c, err := p.load()
			if err != nil {
				return err
			}
			key, err := c.payloadKey()
			if err != nil {
				return err
			}
			if !key.Set() {
				return errNoPayloadKey(c.payloadPublicFile())
			}
			return p.showPayloadKey(c, key)
		},
	}
}

func errNoPayloadKey(file string) error {
	return daemon.WithHint(fmt.Errorf("there is no payload key: %s is missing", file), `make one with "%s payload key init", or set payload_dir in tenant.toml`, name)
}

func (c Config) payloadKeyFile() string    { return filepath.Join(c.PayloadDir, "payload.key") }
func (c Config) payloadPublicFile() string { return filepath.Join(c.PayloadDir, "payload.pub") }

func (p *program) showPayloadKey(c Config, key jointoken.PayloadKey) error {
	id := sha256.Sum256(key[:])
	info := payloadKeyInfo{c.payloadKeyFile(), c.payloadPublicFile(), hex.EncodeToString(id[:])}
	return p.show(info, func(w io.Writer) { fmt.Fprintf(w, "payload key %s in %s\n", info.KeyID, info.File) })
}

// initPayloadKey makes both files. A key that is there stays: machines have pinned
// it.
func (p *program) initPayloadKey() error {
	c, err := p.load()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.PayloadDir, 0o700); err != nil {
		return daemon.WithHint(err, "set payload_dir in tenant.toml to a directory of your own")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	if err := writeNew(c.payloadKeyFile(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})); err != nil {
		return err
	}
	if err := conf.ReplaceFile(c.payloadPublicFile(), 0o644, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})); err != nil {
		return err
	}
	pinned, err := c.payloadKey()
	if err != nil {
		return err
	}
	p.say("join tokens made from now on carry it; machines that joined before have to join again to take payloads")
	return p.showPayloadKey(c, pinned)
}

// writeNew writes a secret to a file that is not there yet.
func writeNew(file string, b []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return daemon.WithHint(err, "machines open what this key signs; move it away first if they are all to join again")
	}
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// payloadKey is the public key, for join tokens; none, if there is none yet.
func (c Config) payloadKey() (k jointoken.PayloadKey, err error) {
	file := c.payloadPublicFile()
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return k, err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PUBLIC KEY" {
		return k, fmt.Errorf("%s holds no public key", file)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return k, fmt.Errorf("%s: %w", file, err)
	}
	public, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return k, fmt.Errorf("%s holds a key that is not ECDSA", file)
	}
	point, err := payload.EncodeKey(public)
	if err != nil {
		return k, fmt.Errorf("%s: %w", file, err)
	}
	return jointoken.PayloadKey(point), nil
}

// signingKey is the private key.
func (c Config) signingKey() (*ecdsa.PrivateKey, error) {
	file := c.payloadKeyFile()
	b, err := conf.ReadSecret(file, maxPayloadKey)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoPayloadKey(file)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("%s holds no private key in PKCS #8", file)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%s holds a key that is not ECDSA on P-256", file)
	}
	return key, nil
}
