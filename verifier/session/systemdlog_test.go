package session

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"quicklime/verifier/bootpolicy"
	"quicklime/verifier/eventlog"
	"quicklime/verifier/systemdlog"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
)

// unified is a boot of a unified kernel image with systemd, and machineID what systemd
// measured into PCR 15 then.
const (
	unified   = "ovmf-uki-systemd-6.12"
	machineID = "machine-id:0123456789abcdef0123456789abcdef"
)

// newUnified is a session of a machine in the captured state, whose boot policy is made
// of its logs, with more in runtime for PCR 15.
func newUnified(t *testing.T, runtime ...string) *platformFixture {
	t.Helper()
	f := newPlatform(t, verifiertest.BootLog(t, unified))
	f.systemd = verifiertest.SystemdLog(t, unified)
	f.machine.PCRs = verifiertest.PCRs(t, unified)
	f.machine.Reboot()
	f.machine.File("/bin/a", good)
	f.must(f.server.store.BootPolicies.Add(t.Context(), f.reference(runtime...)))
	f.assign("front")
	f.welcomed()
	return f
}

// reference is a boot policy of the captured logs.
func (f *platformFixture) reference(runtime ...string) rest.BootPolicy {
	f.t.Helper()
	l, err := eventlog.Parse(f.log)
	f.must(err)
	s, err := systemdlog.Parse(verifiertest.SystemdLog(f.t, unified))
	f.must(err)
	supposed, err := l.With(s).Suppose(pcr.SHA256)
	f.must(err)
	text, err := bootpolicy.Create(nil, supposed)
	f.must(err)
	var members map[string]any
	f.must(json.Unmarshal(text, &members))
	rules, _ := members["runtime"].(map[string]any)
	for _, r := range runtime {
		rules["15"] = append(rules["15"].([]any), r)
	}
	text, err = json.Marshal(members)
	f.must(err)
	return rest.BootPolicy{Policy: rest.Policy{Name: "front", Digest: hex.EncodeToString(pcr.SHA256.Sum(text)), Text: string(text)}}
}

// extend extends a PCR with a text, and returns systemd's record of it.
func (f *platformFixture) extend(i int, text string) []byte {
	f.t.Helper()
	digests := slices.Clone(f.machine.PCRs.Digests())
	n := 0
	var record []string
	for _, s := range f.machine.PCRs.Selection() {
		for each := range s.PCRs.All() {
			if each == i {
				digests[n] = s.Bank.Extend(digests[n], s.Bank.Sum([]byte(text)))
				record = append(record, fmt.Sprintf(`{"hashAlg":%q,"digest":"%x"}`, s.Bank, s.Bank.Sum([]byte(text))))
			}
			n++
		}
	}
	var err error
	f.machine.PCRs, err = pcr.NewValues(f.machine.PCRs.Selection(), digests)
	f.must(err)
	return fmt.Appendf(nil, "\x1e{\"pcr\":%d,\"digests\":[%s],\"content_type\":\"systemd\",\"content\":{\"string\":%q}}\n", i, strings.Join(record, ","), text)
}

// measures has systemd extend a PCR and write its log.
func (f *platformFixture) measures(i int, text string) {
	f.systemd = slices.Concat(f.systemd, f.extend(i, text))
}

// message is that of the newest failure.
func (f *platformFixture) message() string {
	f.t.Helper()
	failures, _, err := f.server.store.Failures(f.t.Context(), verifiertest.AgentID)
	f.must(err)
	if len(failures) == 0 {
		return ""
	}
	return failures[0].Message
}

// I20: what systemd measures while the system runs is judged by its log, again whenever
// it has measured more.
func TestI15_I20_SystemdsLogIsJudged(t *testing.T) {
	f := newUnified(t, "volume:[a-z]+")
	if !f.selection[0].PCRs.Has(11) || !f.selection[0].PCRs.Has(15) {
		t.Errorf("asked for %v", f.selection)
	}
	f.attest()
	f.want("as it was booted", wire.Trusted)
	f.measures(11, "shutdown")
	f.attest()
	f.want("another phase", wire.Trusted)
	f.measures(15, "volume:root")
	f.attest()
	f.want("what runtime lists", wire.Trusted)
	f.systemd = nil // the agent sends it when it has changed
	f.attest()
	f.want("the same log", wire.Trusted)
	f.must(f.server.store.BootPolicies.Update(t.Context(), f.reference()))
	f.judged()
	f.want("a tighter policy, judged by what is stored", wire.Untrusted, example)
	if m := f.message(); !strings.Contains(m, `PCR 15: record 6 of systemd's log: it measured "volume:root" while the system ran, and runtime does not list it`) {
		t.Errorf("%q", m)
	}
	f.must(f.server.store.BootPolicies.Update(t.Context(), f.reference("volume:.*")))
	f.judged()
	f.want("a looser one", wire.Trusted)

	logs, err := f.server.BootLog(t.Context(), verifiertest.AgentID)
	f.must(err)
	if !bytes.HasPrefix(logs.Systemd, verifiertest.SystemdLog(t, unified)) || !bytes.Contains(logs.Systemd, []byte("volume:root")) || !slices.Contains(logs.Proven, 15) {
		t.Errorf("%q proves %v", logs.Systemd, logs.Proven)
	}
}

// I20: what runtime does not list, what has no record, and what the records do not lead
// to fail.
func TestI20_WhatSystemdsLogDoesNotAccountFor(t *testing.T) {
	captured := verifiertest.SystemdLog(t, unified)
	last := captured[bytes.LastIndexByte(captured, 0x1e):]
	for name, c := range map[string]struct {
		change func(f *platformFixture)
		id     wire.FailureID
		says   string
	}{
		"PCR 15, not listed":         {func(f *platformFixture) { f.measures(15, "evil") }, example, `PCR 15: record 5 of systemd's log: it measured "evil"`},
		"PCR 11, no phase":           {func(f *platformFixture) { f.measures(11, "evil") }, example, `PCR 11: record 5 of systemd's log: it measured "evil"`},
		"PCR 15, no record":          {func(f *platformFixture) { f.extend(15, machineID) }, wire.BootInvalidPCR(15), "PCR 15"},
		"PCR 11, no record":          {func(f *platformFixture) { f.extend(11, "evil") }, example, "PCR 11"},
		"a record of another digest": {func(f *platformFixture) { f.extend(15, "evil"); f.systemd = slices.Concat(captured, last) }, wire.BootInvalidPCR(15), "PCR 15"},
		"no log":                     {func(f *platformFixture) { f.systemd = nil }, wire.BootInvalidPCR(15), "PCR 15"},
		"half a log":                 {func(f *platformFixture) { f.systemd = captured[:len(captured)-1] }, wire.BootInvalidPCR(15), "PCR 15"},
		"no log at all":              {func(f *platformFixture) { f.systemd = []byte("evil") }, wire.BootInvalidPCR(15), "PCR 15"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newUnified(t)
			c.change(f)
			f.attest()
			failures, _, err := f.server.store.Failures(t.Context(), verifiertest.AgentID)
			f.must(err)
			if f.trust().Trust != wire.Untrusted || !slices.ContainsFunc(failures, func(x wire.Failure) bool { return x.ID == c.id && strings.Contains(x.Message, c.says) }) {
				t.Errorf("%s %+v", f.trust().Trust, failures)
			}
			unreadable := slices.ContainsFunc(failures, func(x wire.Failure) bool {
				return x.ID == wire.BootLogMalformed && strings.HasPrefix(x.Message, "systemd's log: ") && x.Hint != ""
			})
			if want := name == "half a log" || name == "no log at all"; unreadable != want {
				t.Errorf("%+v", failures)
			}
		})
	}
}

// I20: another log is judged even if no PCR has changed, for it is what is stored then.
func TestI20_AnotherLogOfTheSamePCRs(t *testing.T) {
	f := newUnified(t)
	f.attest()
	f.want("all of it", wire.Trusted)
	f.systemd = append(f.systemd, "garbage"...)
	f.attest()
	f.want("no log any more", wire.Untrusted, wire.BootLogMalformed, wire.BootInvalidPCR(15))
	f.systemd = verifiertest.SystemdLog(t, unified)
	f.attest()
	f.want("what was found stands", wire.Untrusted, wire.BootLogMalformed, wire.BootInvalidPCR(15))
	f.must(f.clear())
	f.attest()
	f.want("until it is cleared", wire.Trusted)
	f.judged()
	f.want("and is not found again", wire.Trusted)
}

// I20: a log that may be longer than what is quoted, for it is read later, is judged as
// far as the quote goes.
func TestI20_RecordsBehindTheQuote(t *testing.T) {
	f := newUnified(t)
	before := f.machine.PCRs
	f.measures(15, "evil")
	after := f.machine.PCRs
	f.machine.PCRs = before
	f.attest()
	f.want("not quoted yet", wire.Trusted)
	f.machine.PCRs, f.systemd = after, nil
	f.attest()
	f.want("quoted", wire.Untrusted, example)
}

// I14: systemd's log is kept over a suspend, and is that of one boot alone.
func TestI14_SystemdsLogIsOfOneBoot(t *testing.T) {
	f := newUnified(t)
	f.attest()
	f.systemd = nil
	f.machine.AK.Counters.Restart++
	f.attest()
	f.want("suspended", wire.Trusted)
	f.must(f.server.store.BootPolicies.Update(t.Context(), f.reference("x")))
	f.judged()
	f.want("judged by what is stored", wire.Trusted)
	f.machine.Reboot()
	f.machine.File("/bin/a", good)
	f.attest()
	f.want("booted, and no log came", wire.Untrusted, wire.BootInvalidPCR(15))

	f = newUnified(t)
	f.measures(15, "evil")
	f.attest()
	f.machine.PCRs, f.systemd = verifiertest.PCRs(t, unified), verifiertest.SystemdLog(t, unified)
	f.machine.Reboot()
	f.machine.File("/bin/a", good)
	f.attest()
	f.want("a good boot after a bad one", wire.Untrusted, example)
	f.must(f.server.store.BootPolicies.Update(t.Context(), f.reference("evil")))
	f.judged()
	f.want("the past boot is judged by its own log", wire.Trusted)
}

// A policy of no PCR that systemd extends does not look at its log.
func TestI20_ALogThatNobodyJudges(t *testing.T) {
	log, _ := boots(t)
	f := newPlatform(t, log)
	f.add(log)
	f.assign("front")
	f.welcomed()
	f.systemd = []byte("garbage")
	f.attest()
	f.want("with a log that cannot be read", wire.Trusted)
}
