package tenant

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"quicklime/wire/notice"
	"quicklime/wire/rest"
)

// newToken is the JSON of "join-token create". The token is here or in the file.
type newToken struct {
	ID        string    `json:"id"`
	Label     string    `json:"label,omitempty"`
	ExpiresAt time.Time `json:"expires_at"`
	Token     string    `json:"token,omitempty"`
	File      string    `json:"file,omitempty"`
}

func (p *program) joinTokenCreate() *cobra.Command {
	var (
		label, out string
		expires    = life{Duration: 24 * time.Hour}
	)
	c := &cobra.Command{
		Use:   "create",
		Short: "Make a token with which one machine can register, once",
		Args:  exactly(0, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			ask := rest.JoinTokenRequest{Label: label, ExpiresIn: int64(expires.Duration / time.Second)}
			return p.createToken(c.Context(), ask, out)
		},
	}
	c.Flags().StringVar(&label, "label", "", "call the machine that uses it `LABEL`")
	c.Flags().Var(&expires, "expires", "how long it can be used, such as 3d or 12h")
	c.Flags().StringVarP(&out, "output", "o", "", "write it to the new `FILE`, readable by you alone, not to standard output")
	return c
}

// createToken asks the registrar for a secret and puts it into a token. The
// file is made first: a secret that nobody can keep is not asked for.
func (p *program) createToken(ctx context.Context, ask rest.JoinTokenRequest, out string) (err error) {
	s, err := p.connect()
	if err != nil {
		return err
	}
	t, err := s.config.tokenFrame()
	if err != nil {
		return err
	}
	if t.RevocationKey, err = p.revocationKey(ctx, s); err != nil {
		return err
	}
	keep, err := p.keepToken(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, keep.close(err == nil)) }()
	secret, err := s.registrar.CreateJoinToken(ctx, ask)
	if err != nil {
		return err
	}
	if len(secret.Secret) != len(t.Secret) {
		return fmt.Errorf("the registrar's secret has %d bytes, want %d", len(secret.Secret), len(t.Secret))
	}
	t.ID, t.Expires = secret.ID, secret.ExpiresAt
	copy(t.Secret[:], secret.Secret)
	text, err := t.Format()
	if err != nil {
		return err
	}
	p.say("join token %s%s for one machine, until %s", t.ID, forLabel(secret.Label), t.Expires.UTC().Format(time.RFC3339))
	p.say("on the machine: quicklime-agent join < token")
	if !t.PayloadKey.Set() {
		p.say("it carries no payload key: the machine takes no payloads before it joins again with a token made after %q", name+" payload key init")
	}
	p.warnLoopback(t)
	answer := newToken{ID: t.ID, Label: secret.Label, ExpiresAt: secret.ExpiresAt, File: out}
	return keep.put(p, answer, text)
}

func forLabel(label string) string {
	if label == "" {
		return ""
	}
	return fmt.Sprintf(" (%s)", label)
}

// revocationKey asks the verifier for the key that machines pin. Without it a token
// brings a machine in all the same.
func (p *program) revocationKey(ctx context.Context, s servers) (k notice.Key, err error) {
	keys, err := s.verifier.RevocationKeys(ctx)
	if unreachable(err) != nil {
		p.warn("%v: a machine that joins with this token takes no notices of others that lose trust, until it joins again", err)
		return k, nil
	}
	if err != nil {
		return k, err
	}
	public, err := x509.ParsePKIXPublicKey(keys.Notice)
	if err != nil {
		return k, fmt.Errorf("the verifier's revocation key: %w", err)
	}
	key, ok := public.(*ecdsa.PublicKey)
	if !ok {
		return k, fmt.Errorf("the verifier's revocation key is a %T", public)
	}
	return notice.KeyOf(key)
}
