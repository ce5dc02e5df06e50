package payload

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quicklime/wire"
	"quicklime/wire/payload"
)

var (
	agentID = strings.Repeat("a1", 32)
	now     = time.Date(2026, 11, 28, 6, 0, 0, 0, time.UTC)
)

// memory makes a directory in memory.
func memory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "quicklime-payload-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// fakeTPM opens what is sealed to it, which is not sealed at all.
type fakeTPM struct{ calls int }

var errTPM = errors.New("TPM_RC_INTEGRITY")

func (f *fakeTPM) ActivateCredential(object, secret []byte) ([]byte, error) {
	f.calls++
	if string(secret) != "for this TPM" {
		return nil, errTPM
	}
	return object, nil
}

// fixture is a keeper, and the operator and the verifier at the other end of it.
type fixture struct {
	t        *testing.T
	keeper   *Keeper
	tpm      *fakeTPM
	operator *ecdsa.PrivateKey
	said     []wire.Message
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	operator, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, tpm: &fakeTPM{}, operator: operator}
	f.start(Config{Dir: memory(t), State: filepath.Join(t.TempDir(), "payloads")})
	return f
}

// start starts the agent, or starts it anew with what it finds.
func (f *fixture) start(cfg Config) {
	f.t.Helper()
	cfg.Agent, cfg.Key, cfg.TPM = agentID, &f.operator.PublicKey, f.tpm
	cfg.Log, cfg.Now = slog.New(slog.DiscardHandler), func() time.Time { return now }
	k, err := New(cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	f.keeper = k
}

func (f *fixture) restart() { f.keeper.abandon(); f.start(f.keeper.cfg) }

// sent is a payload as operator and verifier have it.
type sent struct {
	manifest payload.Manifest
	offer    wire.Offer
	sealed   []byte
	v        payload.Share
	keys     payload.Keys
}

// send seals content as a payload; change changes what is signed.
func (f *fixture) send(version uint64, kind payload.Kind, content []byte, change ...func(*payload.Manifest)) sent {
	f.t.Helper()
	u, err := payload.NewShare(rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	s := sent{offer: wire.Offer{Object: u[:], Secret: []byte("for this TPM")}}
	if s.v, err = payload.NewShare(rand.Reader); err != nil {
		f.t.Fatal(err)
	}
	s.manifest = payload.Manifest{Agent: agentID, Name: "db", Version: version, Kind: kind, Size: uint64(len(content)), Issued: now.Add(-time.Minute), Expires: now.Add(time.Hour)}
	if kind == payload.File {
		s.manifest.File = "password"
	}
	for _, c := range change {
		c(&s.manifest)
	}
	if s.keys, err = payload.Derive(u, s.v, s.manifest.Agent, s.manifest.Name, s.manifest.Version); err != nil {
		f.t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := payload.Seal(&b, bytes.NewReader(content), s.keys); err != nil {
		f.t.Fatal(err)
	}
	s.sealed = b.Bytes()
	s.manifest.Content = sha256.Sum256(s.sealed)
	if s.manifest.Share, err = (payload.SealedShare{Object: s.offer.Object, Secret: s.offer.Secret}).Digest(); err != nil {
		f.t.Fatal(err)
	}
	f.sign(&s, f.operator)
	return s
}

func (f *fixture) sign(s *sent, key *ecdsa.PrivateKey) {
	f.t.Helper()
	b, err := s.manifest.Sign(rand.Reader, key)
	if err != nil {
		f.t.Fatal(err)
	}
	s.offer.Manifest = b
}

// take hands a message to the keeper and returns what it says.
func (f *fixture) take(m wire.Message, raw ...byte) []wire.Message {
	f.t.Helper()
	f.said = nil
	f.keeper.take(event{m, raw, func(m wire.Message) error {
		f.said = append(f.said, m)
		return m.Check()
	}})
	return f.said
}

func (f *fixture) offer(all ...sent) []wire.Message {
	f.t.Helper()
	var o wire.Offers
	for _, s := range all {
		o.Offers = append(o.Offers, s.offer)
	}
	return f.take(o)
}

// only returns the one message that was said, which is an M.
func only[M wire.Message](f *fixture) M {
	f.t.Helper()
	var none M
	if len(f.said) != 1 {
		f.t.Fatalf("said %d messages, want one %T: %v", len(f.said), none, f.said)
	}
	m, ok := f.said[0].(M)
	if !ok {
		f.t.Fatalf("said %T %v, want %T", f.said[0], f.said[0], none)
	}
	return m
}

// part answers a Fetch.
func (s sent) part(m wire.Fetch) (wire.Chunk, []byte) {
	b := s.sealed[m.Offset:min(m.Offset+m.Bytes, uint64(len(s.sealed)))]
	return wire.Chunk{Name: m.Name, Version: m.Version, Offset: m.Offset, Bytes: uint64(len(b))}, b
}

// serve offers s and serves its ciphertext, until the keeper asks for the share.
func (f *fixture) serve(s sent) wire.Ask {
	f.t.Helper()
	f.offer(s)
	for {
		m := only[wire.Message](f)
		if ask, ok := m.(wire.Ask); ok {
			return ask
		}
		c, b := s.part(only[wire.Fetch](f))
		f.take(c, b...)
	}
}

func (s sent) release() wire.Release {
	return wire.Release{Name: s.manifest.Name, Version: s.manifest.Version, Share: s.v}
}

// deliver has s opened and returns its receipt as the operator reads it.
func (f *fixture) deliver(s sent) payload.Outcome {
	f.t.Helper()
	f.serve(s)
	f.take(s.release())
	return f.outcome(s)
}

// outcome reads the receipt that was said.
func (f *fixture) outcome(s sent) payload.Outcome {
	f.t.Helper()
	o, err := s.keys.Receipt().Verify(only[wire.Receipt](f).Receipt)
	if err != nil {
		f.t.Fatal(err)
	}
	return o
}

// holds fails unless the file of a payload has the contents; "": there is none.
func (f *fixture) holds(path, want string) {
	f.t.Helper()
	b, err := os.ReadFile(filepath.Join(f.keeper.cfg.Dir, path))
	if string(b) != want || (err == nil) != (want != "") {
		f.t.Errorf("%s holds %q, %v, want %q", path, b, err, want)
	}
}

// clean fails if anything is left in the directories that are only passed through.
func (f *fixture) clean() {
	f.t.Helper()
	for _, d := range []string{stageDir, partialDir} {
		entries, err := os.ReadDir(filepath.Join(f.keeper.cfg.Dir, d))
		if err != nil || len(entries) > 0 {
			f.t.Errorf("%s holds %v, %v", d, entries, err)
		}
	}
}
