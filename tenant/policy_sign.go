package tenant

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"quicklime/verifier/policy/dsse"
	"quicklime/wire/conf"
)

// signed is the JSON of "sign -o" and of "verify".
type signed struct {
	File     string       `json:"file"`
	Digest   string       `json:"digest"` // of the policy
	SignedBy []signedName `json:"signed_by"`
}

type signedName struct {
	KeyID   string `json:"key_id"`
	Subject string `json:"subject,omitempty"`
}

func newSigned(file string, payload []byte, by ...dsse.Signer) signed {
	sum := sha256.Sum256(payload)
	return signed{file, hex.EncodeToString(sum[:]), signedNames(by)}
}

func signedNames(by []dsse.Signer) []signedName {
	names := make([]signedName, len(by))
	for i, b := range by {
		names[i] = signedName(b)
	}
	return names
}

func (p *program) policySign(k policyKind) *cobra.Command {
	var key, cert, out string
	c := &cobra.Command{
		Use:   "sign FILE",
		Short: "Sign a " + k.word + "; FILE - is standard input",
		Long: "Sign a " + k.word + ` and print or write the outcome, a DSSE envelope` + k.alsoVerify + `.

The key is a file in PEM that nobody else may read, ECDSA (P-256, P-384, P-521), RSA or
Ed25519:

  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out release.key
  openssl pkey -in release.key -pubout -out release.pub
  ` + k.command("sign web.json --key release.key -o web.signed.json") + `

Nothing is sent to the verifier; "` + k.noun + ` add" and "` + k.noun + ` update" take what is signed.`,
		Args: exactly(1, "FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			if key == "" {
				return usage(c, "name the private key: --key")
			}
			return p.sign(k, args[0], key, cert, out)
		},
	}
	f := c.Flags()
	f.StringVar(&key, "key", "", "sign with the private key in `FILE`")
	f.StringVar(&cert, "cert", "", "let the certificate in `FILE` go with the signature, for verifiers that trust its CA")
	f.StringVarP(&out, "output", "o", "", "write to `FILE`, not to standard output")
	return c
}

func (p *program) sign(k policyKind, file, keyFile, certFile, out string) error {
	text, err := p.readFile(file, k.max)
	if err != nil {
		return err
	}
	if err := p.lint(k, file, text); err != nil {
		return err
	}
	pem, err := conf.ReadSecret(keyFile, dsse.MaxKeyFile)
	if err != nil {
		return err
	}
	key, err := dsse.ParsePrivateKey(pem)
	if err != nil {
		return fmt.Errorf("%s: %w", keyFile, err)
	}
	c, err := p.certificate(certFile)
	if err != nil {
		return err
	}
	envelope, by, err := dsse.Sign(rand.Reader, k.of, text, key, c)
	if err != nil {
		return err
	}
	p.say("signed by %s", by)
	if out == "" {
		_, err := p.stdout.Write(envelope)
		return err
	}
	if err := os.WriteFile(out, envelope, 0o644); err != nil {
		return err
	}
	return p.show(newSigned(out, text, by), func(io.Writer) { p.say("wrote %s", out) })
}

// certificate reads the signer's certificate, if one is named.
func (p *program) certificate(file string) (*x509.Certificate, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := p.readFile(file, dsse.MaxKeyFile)
	if err != nil {
		return nil, err
	}
	c, err := dsse.ParseCertificate(pem)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if now := p.now(); now.Before(c.NotBefore) || now.After(c.NotAfter) {
		p.warn("%s is not valid now: a verifier will refuse the policy", file)
	}
	return c, nil
}
