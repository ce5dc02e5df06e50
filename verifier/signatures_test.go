package verifier

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quicklime/verifier/policy/dsse"
	"quicklime/verifier/store"
	"quicklime/wire/daemon"
	"quicklime/wire/rest"
)

// policySigner is one who signs policies, with a certificate that ran out an hour ago.
type policySigner struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
	file        string // of the certificate
}

func newPolicySigner(t *testing.T) policySigner {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "release"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "release.crt")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	return policySigner{key, c, file}
}

// sign returns a policy as it is in the database, taken a day ago.
func (s policySigner) sign(t *testing.T, name, text string) rest.RuntimePolicy {
	t.Helper()
	e, _, err := dsse.Sign(rand.Reader, dsse.RuntimePolicy, []byte(text), s.key, s.certificate)
	if err != nil {
		t.Fatal(err)
	}
	return rest.RuntimePolicy{Policy: rest.Policy{Name: name, Text: text, Envelope: string(e), UpdatedAt: time.Now().Add(-24 * time.Hour)}}
}

func TestI12_StoredPolicyIsStillSigned(t *testing.T) {
	s, stranger := newPolicySigner(t), newPolicySigner(t)
	by, err := Config{PolicyKeys: []string{s.file}}.signatures()
	if err != nil {
		t.Fatal(err)
	}
	good := s.sign(t, "web", "{}")
	late, changed := good, good
	late.UpdatedAt = time.Now()
	changed.Text = "{ }"
	for name, test := range map[string]struct {
		policy rest.RuntimePolicy
		want   string // "": it is
	}{
		"signed while the certificate was valid": {good, ""},
		"signed after it":                        {late, "is valid from"},
		"not signed":                             {rest.RuntimePolicy{Policy: rest.Policy{Text: "{}"}}, "it is not signed"},
		"by another":                             {stranger.sign(t, "web", "{}"), "signed by nobody who is trusted"},
		"another text":                           {changed, "is not the one that was signed"},
		"damaged":                                {rest.RuntimePolicy{Policy: rest.Policy{Envelope: "{"}}, "not a signed policy"},
	} {
		if err := checkSigned(&test.policy.Policy, dsse.RuntimePolicy, by.Keys); (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A verifier that takes signed policies alone does not begin with others, and says
// which they are.
func TestI12_StartsWithSignedPoliciesAlone(t *testing.T) {
	s := newPolicySigner(t)
	cfg := DefaultConfig()
	cfg.Listen, cfg.StateDir, cfg.Log = "127.0.0.1:0", filepath.Join(t.TempDir(), "state"), slog.New(slog.DiscardHandler)
	cfg.PKIDir = filepath.Join(cfg.StateDir, "pki")
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	inStore(t, cfg, func(ctx context.Context, db *store.Store) error {
		return errors.Join(
			db.RuntimePolicies.Add(ctx, rest.RuntimePolicy{Policy: rest.Policy{Name: "old", Text: "{}"}}),
			db.BootPolicies.Add(ctx, rest.BootPolicy{Policy: rest.Policy{Name: "front", Text: "{}"}}),
		)
	})
	cfg.PolicyKeys = []string{s.file}
	if err := begin(t, cfg); err != nil {
		t.Errorf("nothing has to be signed: %v", err)
	}
	cfg.RequireSignedPolicies = true
	err := begin(t, cfg)
	if err == nil || !strings.Contains(err.Error(), "policy old: require_signed_policies is set, and it is not signed\nboot policy front: require_signed_policies is set, and it is not signed") || !strings.Contains(daemon.Hint(err), "policy_keys") {
		t.Errorf("%v, hint %q", err, daemon.Hint(err))
	}
	inStore(t, cfg, func(ctx context.Context, db *store.Store) error { return db.RuntimePolicies.Delete(ctx, "old") })
	if err := begin(t, cfg); err == nil || !strings.HasPrefix(err.Error(), "boot policy front: ") {
		t.Error(err)
	}
	inStore(t, cfg, func(ctx context.Context, db *store.Store) error { return db.BootPolicies.Delete(ctx, "front") })
	if err := begin(t, cfg); err != nil {
		t.Errorf("no policy is there: %v", err)
	}
}

// inStore does something with the verifier's database while nobody runs it.
func inStore(t *testing.T, cfg Config, do func(context.Context, *store.Store) error) {
	t.Helper()
	db, err := store.Open(cfg.database())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- db.Run(ctx) }()
	err = do(ctx, db)
	stop()
	<-ended
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// begin starts a verifier, and stops it once it is ready.
func begin(t *testing.T, cfg Config) error {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	cfg.OnReady = func(string) { stop() }
	return Run(ctx, cfg)
}

func TestPolicyKeysAreChecked(t *testing.T) {
	s := newPolicySigner(t)
	open := filepath.Join(t.TempDir(), "open.crt")
	none := filepath.Join(t.TempDir(), "none.pem")
	for file, text := range map[string]string{open: "x", none: "x"} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(open, 0o664); err != nil {
		t.Fatal(err)
	}
	for want, files := range map[string][]string{
		"no such file":                   {s.file, filepath.Join(t.TempDir(), "gone")},
		"run: chmod go-w":                {open},
		none + ": it holds no PEM block": {none},
	} {
		if _, err := (Config{PolicyKeys: files}).signatures(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	cfg := DefaultConfig()
	cfg.RequireSignedPolicies = true
	if err := cfg.check(); err == nil || !strings.Contains(err.Error(), "policy_keys is empty") {
		t.Errorf("%v", err)
	}
}
