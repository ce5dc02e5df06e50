package revocation

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/google/go-cmp/cmp"

	"quicklime/verifier/store"
	"quicklime/verifier/store/storetest"
	"quicklime/wire"
	"quicklime/wire/pki"
	"quicklime/wire/rest"
	"quicklime/wire/wiretest"
)

var patience = wiretest.Patience

// testKeys are made once: RSA takes its time.
var testKeys = sync.OnceValues(func() (Keys, error) {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		return Keys{}, err
	}
	defer os.RemoveAll(dir)
	ca, err := pki.Open(dir)
	if err != nil {
		return Keys{}, err
	}
	return OpenKeys(ca, true)
})

func keysOf(t *testing.T) Keys {
	t.Helper()
	k, err := testKeys()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// receiver is a webhook's other end.
type receiver struct {
	*httptest.Server
	hook Webhook
}

func newReceiver(t *testing.T, name string, h http.HandlerFunc) receiver {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return receiver{s, Webhook{Name: name, URL: s.URL + "/keylime?tenant=1", CA: ca}}
}

// outbox is a store in which events happen without machines.
type outbox struct {
	*store.Store
	t  *testing.T
	db *sql.DB
}

func newOutbox(t *testing.T, hooks ...Webhook) outbox {
	t.Helper()
	path := filepath.Join(t.TempDir(), "verifier.db")
	s := openStore(t, path, hooks...)
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return outbox{s, t, db}
}

func openStore(t *testing.T, path string, hooks ...Webhook) *store.Store {
	t.Helper()
	r := store.Routing{Webhooks: map[string][]wire.EventKind{}}
	for _, h := range hooks {
		r.Webhooks[h.Name] = wire.EventKinds
	}
	return storetest.Open(t, path, r)
}

// happen records an event as another process does, on its way to each of hooks.
func (o outbox) happen(id string, hooks ...Webhook) {
	o.t.Helper()
	_, err := o.db.Exec(`INSERT INTO event (id, kind, agent, label, epoch, was, trust, failure, body, severity, peer, at)
		VALUES (?, 'lost', ?, 'box', x'', 'trusted', 'untrusted', 'ima.pcr_mismatch', ?, 'emergency', '192.0.2.7:4433', unixepoch() * 1000)`,
		id, strings.Repeat("a1", 32), []byte(`{"id":"ima.pcr_mismatch","message":"it does not replay"}`))
	if err != nil {
		o.t.Fatal(err)
	}
	for _, h := range hooks {
		if _, err := o.db.Exec(`INSERT INTO delivery (event, webhook, next_at) SELECT max(seq), ?, 0 FROM event`, h.Name); err != nil {
			o.t.Fatal(err)
		}
	}
}

// waits is how many deliveries are not done.
func (o outbox) waits() (n int) {
	o.t.Helper()
	if err := o.db.QueryRow(`SELECT count(*) FROM delivery WHERE dead_at IS NULL`).Scan(&n); err != nil {
		o.t.Fatal(err)
	}
	return n
}

// run delivers until the test ends or stop is called.
func run(t *testing.T, s *store.Store, log *slog.Logger, hooks ...Webhook) (stop func()) {
	t.Helper()
	sender, err := New(s, Config{Webhooks: hooks, GiveUp: time.Hour, Keys: keysOf(t), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- sender.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for late := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("never: " + what)
		}
	}
}

var quiet = slog.New(slog.DiscardHandler)

func id(n int) string { return fmt.Sprintf("%032x", n) }

// keylimeOnly is a receiver as one for Keylime is written: it knows msg and
// signature, checks the one by the other, and reads the fields that Keylime sends.
func keylimeOnly(key *rsa.PublicKey, body []byte) (map[string]any, error) {
	var outer struct{ Msg, Signature string }
	if err := json.Unmarshal(body, &outer); err != nil {
		return nil, err
	}
	signature, err := base64.StdEncoding.DecodeString(outer.Signature)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256([]byte(outer.Msg))
	// Keylime verifies with the longest salt there can be, and no other.
	longest := key.Size() - sha256.Size - 2
	if err := rsa.VerifyPSS(key, crypto.SHA256, digest[:], signature, &rsa.PSSOptions{SaltLength: longest}); err != nil {
		return nil, err
	}
	var m map[string]any
	return m, json.Unmarshal([]byte(outer.Msg), &m)
}

func TestReceiverWrittenOnlyForKeylime(t *testing.T) {
	keys := keysOf(t)
	got := make(chan map[string]any, 1)
	r := newReceiver(t, "keylime", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		m, err := keylimeOnly(&keys.Keylime.PublicKey, body)
		if err != nil || r.Method != "POST" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%v: %s", err, body)
		}
		got <- m
	})
	o := newOutbox(t, r.hook)
	o.happen(id(1), r.hook)
	run(t, o.Store, quiet, r.hook)
	m := <-got
	if _, err := time.Parse("Mon Jan _2 15:04:05 2006", m["event_time"].(string)); err != nil {
		t.Error(err)
	}
	delete(m, "event_time")
	delete(m, "at")
	want := map[string]any{
		"type": "revocation", "ip": "192.0.2.7", "port": 4433.0, "agent_id": strings.Repeat("a1", 32), "tpm_policy": "{}", "meta_data": "{}",
		"event_id": "ima.pcr_mismatch", "severity_label": "emergency", "context": map[string]any{"message": "it does not replay"},
		"id": id(1), "sequence": 1.0, "kind": "lost", "label": "box", "epoch": "", "was": "trusted", "trust": "untrusted",
	}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Error(diff)
	}
	eventually(t, "delivered", func() bool { return o.waits() == 0 })
}

// A machine that is trusted again is no revocation to a receiver that knows only
// those.
func TestOnlyLossIsARevocation(t *testing.T) {
	for kind, want := range map[wire.EventKind]string{
		wire.EventLost: "revocation", wire.EventStale: "revocation", wire.EventRemoved: "revocation", wire.EventRegained: "regained", wire.EventRaised: "raised",
	} {
		if got := MessageOf(rest.Event{Kind: kind}, "").Type; got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
	}
}

// A receiver reads what Keylime's verifier would tell it of the machine's TPM policy.
func TestMessageHasTheTPMPolicy(t *testing.T) {
	const text = `{"22": ["00"], "mask": "0x400000"}`
	if got := MessageOf(rest.Event{}, text).TPMPolicy; got != text {
		t.Errorf("%q", got)
	}
	if got := MessageOf(rest.Event{}, "").TPMPolicy; got != "{}" {
		t.Errorf("%q", got)
	}
}

// signatureInput is the form that sign writes (RFC 9421, section 4.1).
var signatureInput = regexp.MustCompile(`^quicklime=(\("@method" "@target-uri" "content-type" "content-digest" "quicklime-event"\);created=([0-9]+);keyid="([0-9a-f]{64})";alg="ecdsa-p256-sha256";tag="quicklime-webhook")$`)

// verify checks a request as RFC 9421 and RFC 9530 say, with none of the code that
// signed it.
func verify(key *ecdsa.PublicKey, r *http.Request, body []byte) error {
	digest := sha256.Sum256(body)
	if want := "sha-256=:" + base64.StdEncoding.EncodeToString(digest[:]) + ":"; r.Header.Get("Content-Digest") != want {
		return fmt.Errorf("digest %q", r.Header.Get("Content-Digest"))
	}
	m := signatureInput.FindStringSubmatch(r.Header.Get("Signature-Input"))
	if m == nil {
		return fmt.Errorf("input %q", r.Header.Get("Signature-Input"))
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return err
	}
	if m[3] != fmt.Sprintf("%x", sha256.Sum256(der)) {
		return errors.New("another key")
	}
	base := "\"@method\": " + r.Method + "\n" +
		"\"@target-uri\": https://" + r.Host + r.URL.RequestURI() + "\n" +
		"\"content-type\": " + r.Header.Get("Content-Type") + "\n" +
		"\"content-digest\": " + r.Header.Get("Content-Digest") + "\n" +
		"\"quicklime-event\": " + r.Header.Get("Quicklime-Event") + "\n" +
		"\"@signature-params\": " + m[1]
	text := strings.TrimSuffix(strings.TrimPrefix(r.Header.Get("Signature"), "quicklime=:"), ":")
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != 64 {
		return fmt.Errorf("signature %q", r.Header.Get("Signature"))
	}
	hash := sha256.Sum256([]byte(base))
	if !verifyRaw(key, hash[:], raw) {
		return errors.New("not by the key")
	}
	return nil
}

func TestRequestIsSigned(t *testing.T) {
	keys := keysOf(t)
	got := make(chan error, 1)
	r := newReceiver(t, "siem", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		err := verify(&keys.Notice.PublicKey, r, body)
		if err == nil && verify(&keys.Notice.PublicKey, r, append(body, ' ')) == nil {
			err = errors.New("another body verifies")
		}
		if r.Header.Set("Quicklime-Event", id(2)); err == nil && verify(&keys.Notice.PublicKey, r, body) == nil {
			err = errors.New("another event verifies")
		}
		got <- err
	})
	o := newOutbox(t, r.hook)
	o.happen(id(1), r.hook)
	run(t, o.Store, quiet, r.hook)
	if err := <-got; err != nil {
		t.Error(err)
	}
}

// A receiver that hangs, redirects, or answers garbage without an end keeps no other
// from its events, and no event of its own is lost.
func TestI04_I08_BadReceiversHarmNobodyElse(t *testing.T) {
	hang := make(chan struct{})
	elsewhere := newReceiver(t, "elsewhere", func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") })
	garbage := strings.Repeat("x", 1<<16)
	bad := map[string]http.HandlerFunc{
		"hangs": func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); <-hang },
		"redirects": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		},
		"headers": func(w http.ResponseWriter, r *http.Request) {
			for i := range 16 {
				w.Header().Set(fmt.Sprint("X-Garbage-", i), garbage[:4000])
			}
		},
		"fails":  func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500); io.WriteString(w, garbage) },
		"breaks": func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
	}
	var hooks []Webhook
	for name, h := range bad {
		hooks = append(hooks, newReceiver(t, name, h).hook)
	}
	t.Cleanup(func() { close(hang) }) // before the servers close, which wait
	good := make(chan string, 10)
	fine := newReceiver(t, "fine", func(w http.ResponseWriter, r *http.Request) { good <- r.Header.Get("Quicklime-Event") })
	other := Webhook{Name: "untrusted", URL: fine.URL} // whose certificate is of no CA of the system
	hooks = append(hooks, fine.hook, other)
	o := newOutbox(t, hooks...)
	for i := range 3 {
		o.happen(id(i), hooks...)
	}
	log := new(wiretest.Log)
	run(t, o.Store, slog.New(slog.NewJSONHandler(log, nil)), hooks...)
	for i := range 3 {
		if got := <-good; got != id(i) {
			t.Errorf("%s came as number %d", got, i)
		}
	}
	eventually(t, "every bad receiver failed once", func() bool {
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, "the webhook has the event") && !strings.Contains(line, `"webhook":"fine"`) || t.Failed() {
				t.Fatal(line)
			}
		}
		for _, problem := range []string{`it answered 307`, `it answered 500`, `server response headers exceeded`, `EOF`, `certificate signed by unknown authority`} {
			if log.Count(problem) == 0 {
				return false
			}
		}
		return true
	})
	if n := o.waits(); n < 3*5 {
		t.Errorf("%d deliveries wait: some are lost", n)
	}
}

// I08: a try ends by itself, whether the receiver says nothing or says it in drops, and
// before its claim does.
func TestI08_ATryEnds(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"says nothing": func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) // else it is not seen that the client leaves
			<-r.Context().Done()
		},
		"in drops": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				io.WriteString(w, "x")
				http.NewResponseController(w).Flush()
				time.Sleep(time.Millisecond)
			}
		},
	} {
		h := newReceiver(t, "slow", answer).hook
		c, err := h.client()
		if err != nil {
			t.Fatal(err)
		}
		if c.Timeout <= 0 || c.Timeout >= claimTime {
			t.Errorf("a try takes %v at most, and its claim lasts %v", c.Timeout, claimTime)
		}
		c.Timeout = 50 * time.Millisecond
		w := &worker{hook: h, client: c, keys: keysOf(t), log: quiet}
		var slow interface{ Timeout() bool }
		if err := w.send(t.Context(), store.Delivery{Event: rest.Event{ID: id(1)}}); !errors.As(err, &slow) || !slow.Timeout() {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// I04: an answer that says 200 is one, and is not read to its end.
func TestI04_AnswerWithoutEnd(t *testing.T) {
	garbage := strings.Repeat("x", 1<<16)
	endless := newReceiver(t, "endless", func(w http.ResponseWriter, r *http.Request) {
		for i := 0; r.Context().Err() == nil; i++ {
			if i == 1<<10 {
				t.Error("64 MiB of an answer were read")
				return
			}
			if _, err := io.WriteString(w, garbage); err != nil {
				return
			}
		}
	})
	o := newOutbox(t, endless.hook)
	o.happen(id(1), endless.hook)
	run(t, o.Store, quiet, endless.hook)
	eventually(t, "delivered", func() bool { return o.waits() == 0 })
}

// A verifier that ends between the commit and the delivery, or after the delivery
// and before it is noted, delivers when it comes back: at least once, and the same id
// says that it is the same.
func TestI22_CrashDeliversAtLeastOnce(t *testing.T) {
	arrived := make(chan string, 10)
	block := make(chan struct{})
	r := newReceiver(t, "siem", func(w http.ResponseWriter, r *http.Request) {
		arrived <- r.Header.Get("Quicklime-Event")
		<-block // the answer does not come before the verifier ends
	})
	o := newOutbox(t, r.hook)
	o.happen(id(1), r.hook)
	stop := run(t, o.Store, quiet, r.hook)
	first := <-arrived
	stop()
	close(block)
	if o.waits() != 1 {
		t.Fatal("a delivery is done that nobody confirmed")
	}
	if _, err := o.db.Exec(`UPDATE delivery SET next_at = 0`); err != nil { // the claim ends
		t.Fatal(err)
	}
	run(t, o.Store, quiet, r.hook)
	if again := <-arrived; again != first {
		t.Errorf("%s, and then %s", first, again)
	}
	eventually(t, "delivered", func() bool { return o.waits() == 0 })
}

// Two verifiers on one database deliver each event once.
func TestTwoVerifiersDeliverOnce(t *testing.T) {
	const n = 30
	var mu sync.Mutex
	count := map[string]int{}
	r := newReceiver(t, "siem", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		count[r.Header.Get("Quicklime-Event")]++
	})
	o := newOutbox(t, r.hook)
	var path string
	if err := o.db.QueryRow(`SELECT file FROM pragma_database_list WHERE name = 'main'`).Scan(&path); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		o.happen(id(i), r.hook)
	}
	run(t, o.Store, quiet, r.hook)
	run(t, openStore(t, path, r.hook), quiet, r.hook)
	eventually(t, "delivered", func() bool { return o.waits() == 0 })
	mu.Lock()
	defer mu.Unlock()
	if len(count) != n {
		t.Errorf("%d of %d events arrived", len(count), n)
	}
	for id, times := range count {
		if times != 1 {
			t.Errorf("%s arrived %d times", id, times)
		}
	}
}

// An event that a receiver does not take for too long is a dead letter.
func TestOldEventsAreDeadLetters(t *testing.T) {
	r := newReceiver(t, "siem", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) })
	o := newOutbox(t, r.hook)
	o.happen(id(1), r.hook)
	if _, err := o.db.Exec(`UPDATE event SET at = at - 7200000`); err != nil {
		t.Fatal(err)
	}
	run(t, o.Store, quiet, r.hook)
	eventually(t, "given up", func() bool {
		l, err := o.DeadLetters(t.Context())
		return err == nil && len(l.DeadLetters) == 1 && l.DeadLetters[0].Problem == "it answered 503 Service Unavailable"
	})
}

func TestPauses(t *testing.T) {
	for tries, most := range map[int]time.Duration{0: time.Second, 1: 2 * time.Second, 5: 32 * time.Second, 9: 512 * time.Second, 10: lastPause, 1 << 20: lastPause} {
		for range 100 {
			if d := pauseAfter(tries); d < most/2 || d > most {
				t.Fatalf("%v after %d tries, want %v to %v", d, tries, most/2, most)
			}
		}
	}
}

func TestWebhookCheck(t *testing.T) {
	for _, tt := range []struct {
		hook Webhook
		want string
	}{
		{Webhook{Name: "a", URL: "https://siem.example/x?y=z"}, ""},
		{Webhook{Name: "", URL: "https://siem.example"}, "name"},
		{Webhook{Name: "a", URL: "http://siem.example"}, "not of the form"},
		{Webhook{Name: "a", URL: "https://user:secret@siem.example"}, "not of the form"},
		{Webhook{Name: "a", URL: "https:///x"}, "not of the form"},
		{Webhook{Name: "a", URL: "https://a b"}, "url"},
	} {
		err := tt.hook.Check()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v", tt.hook, err)
		}
	}
}

// The keys are made once, are the owner's alone (I05), and others find their public
// halves beside them.
func TestI05_Keys(t *testing.T) {
	dir := t.TempDir()
	ca, err := pki.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	first, err := OpenKeys(ca, false)
	if err != nil || first.Keylime != nil {
		t.Fatal(err)
	}
	again, err := OpenKeys(ca, false)
	if err != nil || !again.Notice.Equal(first.Notice) {
		t.Errorf("another key: %v", err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "revocation.pub"))
	if err != nil {
		t.Fatal(err)
	}
	public, err := first.Public()
	if block, _ := pem.Decode(b); err != nil || block == nil || string(block.Bytes) != string(public.Notice) {
		t.Errorf("%v, %s", err, b)
	}
	if err := os.Chmod(filepath.Join(dir, "revocation.key"), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeys(ca, false); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others may read: %v", err)
	}
}

func verifyRaw(key *ecdsa.PublicKey, hash, raw []byte) bool {
	r, s := new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])
	return ecdsa.Verify(key, hash, r, s)
}
