package tenant

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quicklime/wire"
	"quicklime/wire/daemon"
	"quicklime/wire/jointoken"
	"quicklime/wire/payload"
	"quicklime/wire/rest"
)

// sender is a tenant with a payload key, and a machine to send to.
func sender(t *testing.T) (f *fake, id string) {
	t.Helper()
	f = start(t)
	m := f.register(machine(t, "web-1"))
	f.set(rest.Agent{ID: m.ID, Label: "web-1", Trust: wire.Trusted})
	if o := f.run(t, "payload", "key", "init"); o.code != 0 {
		t.Fatalf("%+v", o)
	}
	return f, m.ID
}

// sentKey is how receipts of what was sent are made.
func (f *fake) sentKey(t *testing.T, id, name string) (k payload.ReceiptKey, o payload.Outcome) {
	t.Helper()
	kept, err := Config{PayloadDir: f.file("payloads")}.remembered(id, name)
	if err != nil || len(kept) == 0 {
		t.Fatal(kept, err)
	}
	s := kept[len(kept)-1] // the one that is being sent, if there is
	key, err := hex.DecodeString(s.Key)
	if err != nil || copy(k[:], key) != 32 {
		t.Fatal(err)
	}
	digest, err := hex.DecodeString(s.Manifest)
	if err != nil || copy(o.Manifest[:], digest) != 32 {
		t.Fatal(err)
	}
	o.Name, o.Version, o.State, o.At, o.Files = name, s.Version, payload.Stored, uint64(now.Unix()), 1
	return k, o
}

// receive has the machine say what became of a payload.
func (f *fake) receive(t *testing.T, id, name string, change func(*payload.Outcome)) {
	t.Helper()
	k, o := f.sentKey(t, id, name)
	change(&o)
	b, err := k.Receipt(o)
	if err != nil {
		t.Fatal(err)
	}
	at := now
	f.say(id, name, func(p *fakePayload) { p.Receipt, p.ReceiptAt = b, &at })
}

func stored(*payload.Outcome) {}

// prepare has what a call of a payload command is about.
func (f *fake) prepare(t *testing.T, id, command, file string) {
	t.Helper()
	if !strings.HasPrefix(command, "payload ") || command == "payload key init" {
		return
	}
	if o := f.run(t, "payload", "key", "init"); o.code != 0 {
		t.Fatalf("%+v", o)
	}
	if command == "payload send" || command == "payload key show" {
		return
	}
	if o := f.run(t, "payload", "send", id, file, "--accept-ek", id, "--name", "db"); o.code != 0 {
		t.Fatalf("%+v", o)
	}
	f.receive(t, id, "db", stored)
}

// I27: a version is greater than those of payloads that the verifier has forgotten.
func TestI27_PayloadIsNewerThanWhatWasForgotten(t *testing.T) {
	f, id := sender(t)
	f.payloadFloor = 30000101000000 // by a clock that was wrong
	o := f.run(t, "payload", "send", "web-1", f.write(t, "password", "hunter2\n"), "--accept-ek", id)
	if o.code != 0 || !strings.Contains(o.stdout, "password, version 30000101000001") {
		t.Fatalf("%+v", o)
	}
}

// I27: a verifier cannot have the versions of a payload used up, after which the machine
// would open none of that name any more.
func TestI27_VersionsAreNotUsedUp(t *testing.T) {
	f, id := sender(t)
	file := f.write(t, "password", "hunter2\n")
	f.payloadFloor = payload.MaxVersion - 1
	if o := f.run(t, "payload", "send", "web-1", file, "--accept-ek", id); o.code != 1 || !strings.Contains(o.stderr, "which no clock makes") || len(f.payloads) > 0 {
		t.Errorf("a version that was forgotten: %+v", o)
	}
	f.payloadFloor = 0
	if o := f.run(t, "payload", "send", "web-1", file, "--accept-ek", id); o.code != 0 {
		t.Fatalf("%+v", o)
	}
	f.say(id, "password", func(p *fakePayload) { p.Version = payload.MaxVersion - 1 })
	if o := f.run(t, "payload", "send", "web-1", file, "--accept-ek", id); o.code != 1 || !strings.Contains(o.stderr, "which no clock makes") {
		t.Errorf("the last version: %+v", o)
	}
	f.say(id, "password", func(p *fakePayload) { p.Version = latestVersion })
	for version := uint64(latestVersion + 1); version <= latestVersion+2; version++ { // what was sent from here goes on
		if o := f.run(t, "payload", "send", "web-1", file, "--accept-ek", id); o.code != 0 || f.payloads[id+"/password"].Version != version {
			t.Errorf("behind the latest clock: %+v, version %d", o, f.payloads[id+"/password"].Version)
		}
	}
}

// content decrypts what the verifier has, with the shares that a test cannot know: so
// it only checks what can be seen.
func TestPayloadSend(t *testing.T) {
	f, id := sender(t)
	file := f.write(t, "password", "hunter2\n")
	o := f.run(t, "payload", "send", "web-1", file, "--accept-ek", id)
	if o.code != 0 || !strings.Contains(o.stdout, "waiting") || !strings.Contains(o.stdout, "password, version 20260304050607") {
		t.Fatalf("%+v", o)
	}
	p := f.payloads[id+"/password"]
	m, err := payload.Read(p.upload.Manifest)
	if err != nil || m.Agent != id || m.Kind != payload.File || m.File != "password" || m.Size != 8 || !m.Issued.Equal(now) || !m.Expires.Equal(now.Add(365*24*time.Hour)) {
		t.Errorf("%+v, %v", m, err)
	}
	if d := (payload.SealedShare{Object: p.upload.Object, Secret: p.upload.Secret}); m.SealedSize() != uint64(len(p.content)) || d.Check() != nil {
		t.Errorf("%d bytes", len(p.content))
	}
	for what, b := range map[string][]byte{"the plaintext": []byte("hunter2")} {
		if bytes.Contains(slices.Concat(p.content, p.upload.Manifest, p.upload.Object, p.upload.Secret, p.upload.Share), b) {
			t.Errorf("%s reached the verifier", what)
		}
	}
	for _, secret := range [][]byte{p.upload.Share, []byte(hex.EncodeToString(p.upload.Share))} {
		if kept, err := os.ReadFile(f.file(filepath.Join("payloads", "sent", id, "password.json"))); err != nil || bytes.Contains(kept, secret) {
			t.Errorf("V stays here: %v", err)
		}
	}

	// The same name again is a newer version, whatever the clock says.
	if o := f.run(t, "payload", "send", id, file, "--accept-ek", id); o.code != 0 || !strings.Contains(o.stdout, "version 20260304050608") {
		t.Errorf("%+v", o)
	}
	delete(f.payloads, id+"/password") // the verifier has forgotten it
	if o := f.run(t, "payload", "send", id, file, "--accept-ek", id); o.code != 0 || !strings.Contains(o.stdout, "version 20260304050609") {
		t.Errorf("%+v", o)
	}
}

func TestPayloadSendGoesOnWhereItWas(t *testing.T) {
	f, id := sender(t)
	f.breaks = 2
	large := f.write(t, "large", strings.Repeat("0123456789abcdef", 1<<20))
	o := f.run(t, "payload", "send", id, large, "--accept-ek", id)
	if o.code != 0 || strings.Count(o.stderr, "the connection is lost") < 2 { // once more, if it asks while nobody listens
		t.Fatalf("%+v", o)
	}
	if p := f.payloads[id+"/large"]; uint64(len(p.content)) != payload.SealedSize(16<<20) || !p.Complete {
		t.Errorf("%d bytes arrived", len(p.content))
	}
}

func TestI27_PayloadSendWaits(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(f *fake, id string)
		code int
		want string
	}{
		"stored": {func(f *fake, id string) { f.receive(t, id, "p", stored) }, 0, "stored, 1 file"},
		"failed": {func(f *fake, id string) {
			f.receive(t, id, "p", func(o *payload.Outcome) { o.State, o.Reason = payload.Failed, "no room" })
		}, 3, "failed: no room"},
		"refused": {func(f *fake, id string) { f.say(id, "p", func(p *fakePayload) { p.Refusal = "expired\u009b" }) }, 3, "refused: expired"},
		"forged": {func(f *fake, id string) {
			b, err := (payload.ReceiptKey{1}).Receipt(payload.Outcome{Name: "p", Version: 20260304050607, State: payload.Stored})
			if err != nil {
				t.Error(err)
			}
			f.say(id, "p", func(p *fakePayload) { p.Receipt = b })
		}, 3, "FORGED"},
		"of another version":  {func(f *fake, id string) { f.receive(t, id, "p", func(o *payload.Outcome) { o.Version-- }) }, 3, "FORGED"},
		"of another manifest": {func(f *fake, id string) { f.receive(t, id, "p", func(o *payload.Outcome) { o.Manifest[0] ^= 1 }) }, 3, "FORGED"},
	} {
		t.Run(name, func(t *testing.T) {
			f, id := sender(t)
			file := f.write(t, "p", "x")
			done := make(chan outcome)
			go func() { done <- f.run(t, "payload", "send", id, file, "--accept-ek", id, "--wait", "--timeout", "30s") }()
			for complete := false; !complete; time.Sleep(time.Millisecond) {
				f.mu.Lock()
				p := f.payloads[id+"/p"]
				complete = p != nil && p.Complete
				f.mu.Unlock()
			}
			f.say(id, "p", func(p *fakePayload) { p.Releases = 1 })
			c.do(f, id)
			if o := <-done; o.code != c.code || !strings.Contains(o.stdout, c.want) || strings.Contains(o.stdout, "\u009b") {
				t.Errorf("%+v", o)
			}
		})
	}
	f, id := sender(t)
	if o := f.run(t, "payload", "send", id, f.write(t, "p", "x"), "--accept-ek", id, "--wait", "--timeout", "10ms"); o.code != 3 || !strings.Contains(o.stderr, "agent status") {
		t.Errorf("in vain: %+v", o)
	}
}

func TestI11_I27_PayloadSendRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(f *fake, m *rest.Machine)
		args   []string // behind AGENT
		code   int
		want   string
	}{
		"no certificate of the EK":   {nil, []string{"%file"}, 1, "TPM emulator"},
		"another's hash":             {nil, []string{"%file", "--accept-ek", strings.Repeat("a", 64)}, 1, "accept-ek names"},
		"a certificate that is none": {func(_ *fake, m *rest.Machine) { m.EKCertificate = []byte("x") }, []string{"%file"}, 1, "certificate"},
		"the registrar's word alone": {func(_ *fake, m *rest.Machine) { m.EKTrusted = true }, []string{"%file"}, 1, "TPM emulator"},
		"another's EK":               {func(_ *fake, m *rest.Machine) { m.EKPublic = machine(t, "x").EKPublic }, []string{"%file", "--accept-ek", "%id"}, 1, "does not hold"},
		"an AK of another kind":      {func(_ *fake, m *rest.Machine) { m.AKPublic = m.Transport }, []string{"%file", "--accept-ek", "%id"}, 1, "does not hold"},
		"no file":                    {nil, []string{"%file.none", "--accept-ek", "%id"}, 1, "no such file"},
		"a name of no grammar":       {nil, []string{"%file", "--name", "../x"}, 2, "--name"},
		"no key":                     {func(f *fake, _ *rest.Machine) { os.Remove(f.file("payloads/payload.key")) }, []string{"%file", "--accept-ek", "%id"}, 1, "payload key init"},
		"an open key":                {func(f *fake, _ *rest.Machine) { os.Chmod(f.file("payloads/payload.key"), 0o644) }, []string{"%file", "--accept-ek", "%id"}, 1, "0644"},
		"one argument":               {nil, nil, 2, "FILE|DIR"},
	} {
		f, id := sender(t)
		m := f.machines[id]
		if c.change != nil {
			c.change(f, &m)
		}
		f.machines[id] = m
		r := strings.NewReplacer("%file", f.write(t, "p", "x"), "%id", id)
		args := []string{"payload", "send", id}
		for _, a := range c.args {
			args = append(args, r.Replace(a))
		}
		if o := f.run(t, args...); o.code != c.code || !strings.Contains(o.stderr, c.want) || len(f.payloads) > 0 {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

func TestPayloadContents(t *testing.T) {
	dir := t.TempDir()
	for path, text := range map[string]string{"d/a/x": "1", "d/run.sh": "2", "x.tar.gz": "", "my file": ""} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c, err := contentsOf(filepath.Join(dir, "d")+"/", false)
	if err != nil || c.kind != payload.Archive || c.file != "" || c.name != "d" {
		t.Fatalf("%+v, %v", c, err)
	}
	r, err := c.open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := map[string]string{}
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		b, e := io.ReadAll(archive)
		if err != nil || e != nil {
			t.Fatal(err, e)
		}
		got[h.Name] = string(h.Typeflag) + string(b)
	}
	if d := cmp.Diff(map[string]string{"a/": "5", "a/x": "01", "run.sh": "02"}, got); d != "" {
		t.Error(d)
	}
	if c, err := contentsOf(filepath.Join(dir, "x.tar.gz"), false); err != nil || c.kind != payload.Archive || c.name != "x" {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := contentsOf(filepath.Join(dir, "x.tar.gz"), true); err != nil || c.kind != payload.File || c.file != "x.tar.gz" {
		t.Errorf("%+v, %v", c, err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "d", "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := contentsOf(filepath.Join(dir, "d"), false); err == nil || !strings.Contains(err.Error(), "link is neither") {
		t.Errorf("a link: %v", err)
	}
	large := filepath.Join(dir, "large")
	if err := errors.Join(os.WriteFile(large, nil, 0o600), os.Truncate(large, payload.MaxSize+1)); err != nil {
		t.Fatal(err)
	}
	if _, err := contentsOf(large, false); err == nil || !strings.Contains(err.Error(), "at most 64 MiB") {
		t.Errorf("a large file: %v", err)
	}
	if _, err := contentsOf(filepath.Join(dir, "my file"), false); err == nil {
		t.Error("a file that the machine cannot call what it is called")
	}
	if _, err := contentsOf("/dev/null", false); err == nil {
		t.Error("a device")
	}
}

// What the machine would refuse is not sent.
func TestI02_PayloadArchivesRefused(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"no.zip": "PK\x03\x04", "no.tar": strings.Repeat("x", 1024), "no.tgz": "\x1f\x8b", "empty.tar.gz": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := contentsOf(filepath.Join(dir, name), false)
		if name == "empty.tar.gz" {
			if err != nil { // it unpacks to nothing
				t.Error(err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), name+": the machine would not unpack it: ") || !strings.Contains(daemon.Hint(err), "--as-file") {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
		if _, err := contentsOf(filepath.Join(dir, name), true); err != nil {
			t.Errorf("%s as it is: %v", name, err)
		}
	}
	deep := filepath.Join(dir, "d", strings.Repeat("d/", 20))
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(deep, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := contentsOf(filepath.Join(dir, "d"), false); err == nil || !strings.Contains(err.Error(), "is deeper than") {
		t.Errorf("a deep directory: %v", err)
	}
	full := filepath.Join(dir, "full")
	if err := errors.Join(os.Mkdir(full, 0o700), os.WriteFile(filepath.Join(full, "x"), nil, 0o600), os.Truncate(filepath.Join(full, "x"), payload.MaxSize)); err != nil {
		t.Fatal(err)
	}
	if _, err := contentsOf(full, false); err == nil || !strings.Contains(err.Error(), "at most 64 MiB") || !strings.Contains(daemon.Hint(err), "another way") {
		t.Errorf("a large directory: %v", err)
	}
}

func TestPayloadListStatusDelete(t *testing.T) {
	f, id := sender(t)
	if o := f.run(t, "payload", "list", id); o.code != 0 || !strings.Contains(o.stderr, "no payloads") {
		t.Errorf("%+v", o)
	}
	if o := f.run(t, "payload", "status", id, "db"); o.code != 1 || !strings.Contains(o.stderr, "no payload db") {
		t.Errorf("%+v", o)
	}
	f.run(t, "payload", "send", id, f.write(t, "db", "x"), "--accept-ek", id)
	if o := f.run(t, "payload", "status", id, "db"); o.code != 3 || !strings.Contains(o.stdout, "waiting") {
		t.Errorf("%+v", o)
	}
	f.receive(t, id, "db", func(o *payload.Outcome) { o.Run = &payload.Run{Exit: 7, At: o.At, Output: []byte("no\x1b[2J")} })
	if o := f.run(t, "payload", "status", id, "db"); o.code != 0 || !strings.Contains(o.stdout, "stored, 1 file, its program exited 7") || strings.Contains(o.stdout, "\x1b") {
		t.Errorf("%+v", o)
	}
	if o := f.run(t, "payload", "list", id); o.code != 0 || !strings.Contains(o.stdout, "stored, 1 file") {
		t.Errorf("%+v", o)
	}

	// Elsewhere nobody can check it, and that is not said to be as good.
	sent := f.file("payloads/sent")
	if err := os.Rename(sent, sent+".away"); err != nil {
		t.Fatal(err)
	}
	if o := f.run(t, "payload", "status", id, "db"); o.code != 3 || !strings.Contains(o.stdout, "not checked") {
		t.Errorf("%+v", o)
	}
	if err := os.Rename(sent+".away", sent); err != nil {
		t.Fatal(err)
	}

	if o := f.run(t, "payload", "delete", id, "db"); o.code != 2 || !strings.Contains(o.stderr, "--yes") {
		t.Errorf("%+v", o)
	}
	f.say(id, "db", func(p *fakePayload) { p.Releases = 1 })
	if o := f.run(t, "payload", "delete", id, "db", "--yes"); o.code != 0 || !strings.Contains(o.stdout, "has not said yet that it did") {
		t.Errorf("%+v", o)
	}
	if o := f.run(t, "payload", "status", id, "db"); o.code != 3 || !strings.Contains(o.stdout, "withdrawing") {
		t.Errorf("%+v", o)
	}
	f.receive(t, id, "db", func(o *payload.Outcome) { o.State, o.Files = payload.Withdrawn, 0 })
	if o := f.run(t, "payload", "status", id, "db"); o.code != 3 || !strings.Contains(o.stdout, "withdrawn\n") {
		t.Errorf("%+v", o)
	}
}

// A payload is gone when the machine says so, not when the verifier is told.
func TestPayloadDeleteWaits(t *testing.T) {
	wiped := func(o *payload.Outcome) { o.State, o.Files = payload.Withdrawn, 0 }
	for name, c := range map[string]struct {
		releases int64
		do       func(f *fake, id string)
		args     []string
		code     int
		want     string
	}{
		"wiped":     {1, func(f *fake, id string) { f.receive(t, id, "p", wiped) }, []string{"--wait"}, 0, "the machine has wiped it"},
		"as JSON":   {1, func(f *fake, id string) { f.receive(t, id, "p", wiped) }, []string{"--wait", "--json"}, 0, `"state": "withdrawn"`},
		"never had": {0, func(*fake, string) {}, []string{"--wait"}, 0, "the machine never had it"},
		"silent":    {1, func(*fake, string) {}, []string{"--wait", "--timeout", "10ms"}, 3, "has not said yet that it did"},
		"forged": {1, func(f *fake, id string) {
			b, err := (payload.ReceiptKey{1}).Receipt(payload.Outcome{Name: "p", Version: 20260304050607, State: payload.Withdrawn})
			if err != nil {
				t.Error(err)
			}
			f.say(id, "p", func(p *fakePayload) { p.Receipt = b })
		}, []string{"--wait"}, 3, "FORGED"},
	} {
		t.Run(name, func(t *testing.T) {
			f, id := sender(t)
			f.run(t, "payload", "send", id, f.write(t, "p", "x"), "--accept-ek", id)
			f.say(id, "p", func(p *fakePayload) { p.Releases = c.releases })
			done := make(chan outcome)
			go func() { done <- f.run(t, append([]string{"payload", "delete", id, "p", "--yes"}, c.args...)...) }()
			for withdrawn := false; !withdrawn; time.Sleep(time.Millisecond) {
				f.mu.Lock()
				withdrawn = f.payloads[id+"/p"].WithdrawnAt != nil
				f.mu.Unlock()
			}
			c.do(f, id)
			if o := <-done; o.code != c.code || !strings.Contains(o.stdout, c.want) {
				t.Errorf("%+v", o)
			}
		})
	}
}

// What nobody gets any more is not said to be refused, and what the machine wiped by
// itself not to be withdrawn for good.
func TestPayloadThatTheMachineDoesNotHave(t *testing.T) {
	f, id := sender(t)
	f.run(t, "payload", "send", id, f.write(t, "p", "x"), "--accept-ek", id)
	f.say(id, "p", func(p *fakePayload) { p.Refusal, p.ExpiresAt = "it has expired", now })
	if o := f.run(t, "payload", "status", id, "p"); o.code != 3 || !strings.HasPrefix(o.stdout, "expired\n") {
		t.Errorf("%+v", o)
	}
	f.receive(t, id, "p", func(o *payload.Outcome) { o.State, o.Files = payload.Withdrawn, 0 })
	if o := f.run(t, "payload", "status", id, "p"); o.code != 3 || !strings.HasPrefix(o.stdout, "expired\n") {
		t.Errorf("%+v", o)
	}
	f.say(id, "p", func(p *fakePayload) { p.Refusal, p.Releases, p.ExpiresAt = "", 1, now.Add(time.Hour) })
	if o := f.run(t, "payload", "status", id, "p"); o.code != 3 || !strings.Contains(o.stdout, "gets it again when it is trusted") {
		t.Errorf("%+v", o)
	}
}

func TestPayloadListOfAll(t *testing.T) {
	f, id := sender(t)
	if o := f.run(t, "payload", "list"); o.code != 0 || o.stdout != "" || !strings.Contains(o.stderr, "no payloads") {
		t.Errorf("%+v", o)
	}
	other := f.register(machine(t, "a\u009bb"))
	f.set(rest.Agent{ID: other.ID, Label: "a\u009bb", Trust: wire.Trusted})
	for _, to := range []string{id, other.ID} {
		for _, name := range []string{"db", "web"} {
			if o := f.run(t, "payload", "send", to, f.write(t, name, "x"), "--accept-ek", to); o.code != 0 {
				t.Fatalf("%+v", o)
			}
		}
	}
	f.receive(t, id, "web", stored)
	o := f.run(t, "payload", "list")
	lines := strings.Split(o.stdout, "\n")
	if o.code != 0 || len(lines) != 6 || strings.Contains(o.stdout, "\u009b") || !strings.HasPrefix(lines[0], "AGENT ") {
		t.Fatalf("%+v", o)
	}
	for i, want := range [][]string{{other.ID[:12], "db", "waiting"}, {other.ID[:12], "web", "waiting"}, {id[:12], "web-1", "db", "waiting"}, {id[:12], "web-1", "web", "stored, 1 file"}} {
		for _, w := range want {
			if !strings.Contains(lines[i+1], w) {
				t.Errorf("line %d is %q, without %q", i+1, lines[i+1], w)
			}
		}
	}
	o = f.run(t, "payload", "list", "--json")
	var l payloadViews
	if err := json.Unmarshal([]byte(o.stdout), &l); err != nil || len(l.Payloads) != 4 || l.Payloads[3].Agent != id || l.Payloads[3].Label != "web-1" {
		t.Errorf("%+v, %v", o, err)
	}
	if o := f.run(t, "payload", "list", id, other.ID); o.code != 2 {
		t.Errorf("%+v", o)
	}
}

// What could not be sent takes nothing from what was: its receipts are still checked, and
// the next version is newer than both.
func TestI27_ReceiptsWhileTheNextIsNotSent(t *testing.T) {
	f, id := sender(t)
	file := f.write(t, "db", "x")
	f.run(t, "payload", "send", id, file, "--accept-ek", id)
	f.receive(t, id, "db", stored)
	for range 3 {
		f.failures[rest.AddPayload] = rest.Errorf(rest.CodeTooLarge, "no room")
		if o := f.run(t, "payload", "send", id, file, "--accept-ek", id); o.code != 1 {
			t.Errorf("%+v", o)
		}
		if o := f.run(t, "payload", "status", id, "db"); o.code != 0 || !strings.Contains(o.stdout, "stored, 1 file\n") {
			t.Errorf("%+v", o)
		}
	}
	delete(f.failures, rest.AddPayload)
	if o := f.run(t, "payload", "send", id, file, "--accept-ek", id); o.code != 0 || !strings.Contains(o.stdout, "version 20260304050611") {
		t.Errorf("%+v", o)
	}
	f.receive(t, id, "db", stored)
	// The program ends between the last byte and the note of it.
	sent, sending := f.file("payloads/sent/"+id+"/db.json"), f.file("payloads/sent/"+id+"/db~.json")
	if err := os.Rename(sent, sending); err != nil {
		t.Fatal(err)
	}
	if o := f.run(t, "payload", "status", id, "db"); o.code != 0 {
		t.Errorf("%+v", o)
	}
	// Of two at once the greater version stays.
	c := Config{PayloadDir: f.file("payloads")}
	for _, version := range []uint64{7, 9, 8} {
		if err := c.sending(id, "p", sentFile{Version: version}); err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range []uint64{9, 7} {
		if err := c.sent(id, "p", sentFile{Version: version}); err != nil {
			t.Fatal(err)
		}
	}
	if kept, err := c.remembered(id, "p"); err != nil || len(kept) != 2 || kept[0].Version != 9 || kept[1].Version != 8 {
		t.Errorf("%+v, %v", kept, err)
	}
	if err := c.sent(id, "p", sentFile{Version: 10}); err != nil {
		t.Fatal(err)
	}
}

func TestI05_I27_PayloadKeyInTokens(t *testing.T) {
	f := start(t)
	f.register(machine(t, "web-1"))
	if o := f.run(t, "payload", "key", "show"); o.code != 1 || !strings.Contains(o.stderr, "key init") {
		t.Errorf("%+v", o)
	}
	token := func() jointoken.Token {
		t.Helper()
		o := f.run(t, "join-token", "create")
		tok, err := jointoken.Parse(o.stdout)
		if err != nil || tok.PayloadKey.Set() == strings.Contains(o.stderr, "no payload key") {
			t.Fatalf("%+v, %v", o, err)
		}
		return tok
	}
	if token().PayloadKey.Set() {
		t.Error("a token has a payload key that nobody made")
	}
	if o := f.run(t, "payload", "key", "init"); o.code != 0 || !strings.Contains(o.stderr, "join again") {
		t.Errorf("%+v", o)
	}
	for file, want := range map[string]os.FileMode{"payload.key": 0o600, "payload.pub": 0o644, "": 0o700} {
		if st, err := os.Stat(filepath.Join(f.file("payloads"), file)); err != nil || st.Mode().Perm() != want {
			t.Errorf("%q has mode %v, %v", file, st.Mode(), err)
		}
	}
	b, err := os.ReadFile(f.file("payloads/payload.pub"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	if _, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil {
		t.Error(err)
	}
	k := token().PayloadKey
	if _, err := payload.ParseKey(k[:]); err != nil {
		t.Error(err)
	}
	if o := f.run(t, "payload", "key", "init"); o.code != 1 || !strings.Contains(o.stderr, "move it away") || token().PayloadKey != k {
		t.Errorf("a second key: %+v", o)
	}
	f.write(t, "payloads/payload.pub", "x")
	if o := f.run(t, "join-token", "create"); o.code != 1 || len(slices.Collect(maps.Keys(f.payloads))) > 0 {
		t.Errorf("%+v", o)
	}
}
