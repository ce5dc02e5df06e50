package actions_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"quicklime/agent/actions"
	"quicklime/agent/keep"
	"quicklime/agent/notices"
	"quicklime/wire"
	"quicklime/wire/notice"
)

// machine is where actions run.
type machine struct {
	t   *testing.T
	key *ecdsa.PrivateKey
	cfg actions.Config
	out string // a folder for what actions write
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k, err := notice.KeyOf(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	m := &machine{t, key, actions.Config{Dir: filepath.Join(dir, "actions.d"), Spool: filepath.Join(dir, "spool"), State: filepath.Join(dir, "state"),
		Key: k, AgentID: strings.Repeat("a1", 32), Timeout: time.Minute, Log: slog.New(slog.DiscardHandler)}, t.TempDir()}
	for _, d := range []string{m.cfg.Dir, m.cfg.Spool} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// action installs a shell script, in which $OUT is a folder of the test.
func (m *machine) action(name, script string) string {
	m.t.Helper()
	file := filepath.Join(m.cfg.Dir, name)
	if err := os.WriteFile(file, []byte("#!/bin/sh\nOUT="+m.out+"\n"+script+"\n"), 0o755); err != nil {
		m.t.Fatal(err)
	}
	return file
}

// spool puts a notice there, signed by the key.
func (m *machine) spool(number uint64, key *ecdsa.PrivateKey) {
	m.t.Helper()
	now := time.Now().Truncate(time.Second)
	b, err := notice.Sign(notice.Notice{Sequence: number, Issued: now, Expires: now.Add(time.Hour), ID: strings.Repeat("0a", 16), Kind: wire.EventLost,
		Subject: m.cfg.AgentID, Label: "web", Was: wire.Trusted, Trust: wire.Untrusted, Failure: wire.IMAMismatch, Severity: "emergency", At: now}, key, rand.Reader)
	if err != nil {
		m.t.Fatal(err)
	}
	m.put(notices.Name(number), base64.StdEncoding.EncodeToString(b))
}

func (m *machine) put(name, value string) {
	m.t.Helper()
	if err := keep.Create(filepath.Join(m.cfg.Spool, name), value); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) run() {
	m.t.Helper()
	if err := actions.Run(m.t.Context(), m.cfg); err != nil {
		m.t.Fatal(err)
	}
	if left, err := os.ReadDir(m.cfg.Spool); err != nil || len(left) != 0 {
		m.t.Errorf("the spool has %v, %v", left, err)
	}
}

// wrote is what actions wrote to a file.
func (m *machine) wrote(name string) string {
	b, _ := os.ReadFile(filepath.Join(m.out, name))
	return string(b)
}

// outcomes reads what is kept, without times.
func (m *machine) outcomes() (all []actions.Outcome) {
	m.t.Helper()
	b, err := os.ReadFile(filepath.Join(m.cfg.State, "outcomes"))
	if err != nil {
		m.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var o actions.Outcome
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			m.t.Fatal(err)
		}
		all = append(all, o)
	}
	return all
}

var withoutTimes = cmpopts.IgnoreFields(actions.Outcome{}, "Event", "Began", "Took")

// Events run in the order of their numbers, and for each the executables in that of
// their names, with the event on standard input and hardly an environment.
func TestOrderAndInput(t *testing.T) {
	m := newMachine(t)
	m.action("20-second", `echo second >> $OUT/order`)
	m.action("10-first", `cat >> $OUT/events; echo first >> $OUT/order; env > $OUT/env; pwd > $OUT/pwd; exit 3`)
	m.spool(10, m.key)
	m.spool(9, m.key)
	m.run()
	if got := m.wrote("order"); got != "first\nsecond\nfirst\nsecond\n" {
		t.Errorf("%q", got)
	}
	var numbers []uint64
	for line := range strings.Lines(m.wrote("events")) {
		var e actions.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, e.Sequence)
		if e.Type != "revocation" || e.AgentID != m.cfg.AgentID || !e.ThisMachine || e.EventID != wire.IMAMismatch || e.SeverityLabel != "emergency" || e.Trust != wire.Untrusted {
			t.Errorf("%+v", e)
		}
	}
	if diff := cmp.Diff([]uint64{9, 10}, numbers); diff != "" {
		t.Error(diff)
	}
	for line := range strings.Lines(m.wrote("env")) {
		if name, _, _ := strings.Cut(line, "="); name != "PATH" && name != "LANG" && name != "PWD" && name != "_" && name != "SHLVL" && name != "OLDPWD" {
			t.Errorf("the environment has %s", line)
		}
	}
	if m.wrote("pwd") != "/\n" {
		t.Errorf("in %q", m.wrote("pwd"))
	}
	want := []actions.Outcome{{Sequence: 9, Action: "10-first", Code: 3}, {Sequence: 9, Action: "20-second"}, {Sequence: 10, Action: "10-first", Code: 3}, {Sequence: 10, Action: "20-second"}}
	if diff := cmp.Diff(want, m.outcomes(), withoutTimes); diff != "" {
		t.Error(diff)
	}
}

// I02, I28: what the agent puts into the spool and the pinned key did not sign, or
// what was acted on before, runs nothing.
func TestI02_I28_TheSpoolIsNotBelieved(t *testing.T) {
	m := newMachine(t)
	m.action("a", `echo ran >> $OUT/ran`)
	m.spool(5, m.key)
	m.run()
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m.spool(6, other)
	m.spool(5, m.key)
	m.put(notices.Name(7), "#!/bin/sh\n")
	m.put(notices.Name(8), strings.Repeat("A", keep.Max))
	if err := os.WriteFile(filepath.Join(m.cfg.Spool, notices.Name(10)), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m.put(notices.Name(9), secret)
	m.run()
	if got := m.wrote("ran"); got != "ran\n" {
		t.Errorf("%q", got)
	}
	if _, err := os.Stat(secret); err != nil {
		t.Errorf("a link was followed: %v", err)
	}
}

// I28: whoever changes the agent's membership does not change whose notices count.
func TestI28_AnotherKeyIsRefused(t *testing.T) {
	m, other := newMachine(t), newMachine(t)
	m.action("a", `echo ran >> $OUT/ran`)
	m.run()
	m.cfg.Key = other.cfg.Key
	m.spool(1, other.key)
	if err := actions.Run(t.Context(), m.cfg); err == nil || m.wrote("ran") != "" {
		t.Errorf("%v, %q", err, m.wrote("ran"))
	}
}

// I02: what others could have written is not run, and keeps no other from running.
func TestI02_WhatOthersMayWriteIsNotRun(t *testing.T) {
	m := newMachine(t)
	bad := map[string]func(file string) error{
		"a-writable":  func(f string) error { return os.Chmod(f, 0o775) },
		"b-writable":  func(f string) error { return os.Chmod(f, 0o757) },
		"c-not-to-be": func(f string) error { return os.Chmod(f, 0o644) },
		"d-link": func(f string) error {
			if err := os.Rename(f, f+".target"); err != nil {
				return err
			}
			return os.Symlink(f+".target", f)
		},
	}
	if os.Geteuid() == 0 {
		bad["e-foreign"] = func(f string) error { return os.Chown(f, 1000, 0) }
	}
	for name, spoil := range bad {
		if err := spoil(m.action(name, `echo $0 >> $OUT/ran`)); err != nil {
			t.Fatal(err)
		}
	}
	os.Chmod(filepath.Join(m.cfg.Dir, "d-link.target"), 0o644)
	m.action("z-good", `echo good >> $OUT/ran`)
	m.spool(1, m.key)
	m.run()
	if got := m.wrote("ran"); got != "good\n" {
		t.Errorf("%q", got)
	}
	for _, o := range m.outcomes() {
		if refused := strings.HasPrefix(o.Problem, "refused: "); refused == (o.Action == "z-good") {
			t.Errorf("%+v", o)
		}
	}
}

func TestI02_DirectoryThatOthersMayWrite(t *testing.T) {
	m := newMachine(t)
	m.action("a", `echo ran >> $OUT/ran`)
	if err := os.Chmod(m.cfg.Dir, 0o777); err != nil {
		t.Fatal(err)
	}
	m.spool(1, m.key)
	if err := actions.Run(t.Context(), m.cfg); err == nil || !strings.Contains(err.Error(), "chmod go-w") || m.wrote("ran") != "" {
		t.Errorf("%v, %q", err, m.wrote("ran"))
	}
}

// I04: an action's time and output are bounded, those of its children, too.
func TestI04_I08_ActionsAreBounded(t *testing.T) {
	m := newMachine(t)
	m.cfg.Timeout = 300 * time.Millisecond
	m.action("a-hangs", `echo before; sleep 600 & echo $! > $OUT/child; wait`)
	m.action("b-talks", `i=0; while [ $i -lt 3000 ]; do echo "line $i"; i=$((i+1)); done`)
	m.spool(1, m.key)
	began := time.Now()
	m.run()
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
	if child := strings.TrimSpace(m.wrote("child")); child == "" || alive(child) {
		t.Errorf("its child %q goes on", child)
	}
	all := m.outcomes()
	if o := all[0]; !strings.Contains(o.Problem, "killed after 300ms") || o.Output != "before\n" || o.Code != -1 {
		t.Errorf("%+v", o)
	}
	if o := all[1]; len(o.Output) > 9<<10 || !strings.HasPrefix(o.Output, "… ") || o.Problem == "" && !strings.HasSuffix(o.Output, "line 2999\n") {
		t.Errorf("%d bytes of output: %+v", len(o.Output), o)
	}
}

// alive reports whether a process runs; a dead one may wait to be reaped by whoever
// got it.
func alive(pid string) bool {
	for late := time.Now().Add(5 * time.Second); time.Now().Before(late); time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if _, state, _ := strings.Cut(string(stat), ") "); err != nil || strings.HasPrefix(state, "Z") {
			return false
		}
	}
	return true
}

// A notice that comes soon after the last one is acted on by the same run, for systemd
// starts only so many.
func TestNoticesThatFollowEachOther(t *testing.T) {
	m := newMachine(t)
	m.cfg.Linger = 3 * time.Second
	m.action("a", `echo ran >> $OUT/ran`)
	m.spool(1, m.key)
	go func() {
		for m.wrote("ran") == "" {
			time.Sleep(5 * time.Millisecond)
		}
		m.spool(2, m.key)
	}()
	m.run()
	if got := m.wrote("ran"); got != "ran\nran\n" {
		t.Errorf("%q", got)
	}
}

// What was interrupted is acted on again.
func TestInterruptedIsRepeated(t *testing.T) {
	m := newMachine(t)
	m.action("a", `echo ran >> $OUT/ran; [ -e $OUT/second ] || sleep 600`)
	m.spool(1, m.key)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for m.wrote("ran") == "" {
			time.Sleep(5 * time.Millisecond)
		}
		cancel()
	}()
	if err := actions.Run(ctx, m.cfg); err == nil {
		t.Error("it was not interrupted")
	}
	if err := os.WriteFile(filepath.Join(m.out, "second"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m.run()
	if got := m.wrote("ran"); got != "ran\nran\n" {
		t.Errorf("%q", got)
	}
}
