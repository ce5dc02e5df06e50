package session

import (
	"encoding/hex"
	"errors"
	"regexp"
	"strings"
	"testing"

	"quicklime/ima"
	"quicklime/verifier/severity"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
	"quicklime/wire/tpm/softtpm"
)

func referenceTo(t *testing.T, logs ...[]byte) rest.BootPolicy {
	t.Helper()
	text := verifiertest.Reference(t, pcr.SHA256, logs...)
	return rest.BootPolicy{Policy: rest.Policy{Name: "front", Digest: hex.EncodeToString(pcr.SHA256.Sum(text)), Text: string(text)}}
}

// Two boots of one machine.
func boots(t *testing.T) (a, b []byte) {
	a = verifiertest.BootLog(t, "ovmf-secureboot-6.1")
	return a, verifiertest.WithCommandLine(a, "/vmlinuz init=/bin/sh")
}

const example = wire.FailureID("measured_boot.policy_example")

// I21: without a boot policy nobody judged the boot, and nothing says otherwise.
func TestI21_WithoutABootPolicy(t *testing.T) {
	log, _ := boots(t)
	f := newPlatform(t, log)
	f.welcomed()
	f.attest()
	if a := f.want("without", wire.Trusted); a.Policies.Boot != wire.NotEvaluated || a.Policies.TPM != wire.NotEvaluated || a.Policies.BootDigest != "" {
		t.Errorf("%+v", a.Policies)
	}
}

// I15, I22: the boot is judged with the first evidence, and again, tighter and
// looser, from what is stored.
func TestI07_I15_I21_I22_TheBootIsJudged(t *testing.T) {
	log, other := boots(t)
	f := newPlatform(t, log)
	f.add(log)
	f.assign("front")
	if a := f.trust(); a.Trust != wire.Pending {
		t.Errorf("%+v", a)
	}
	f.welcomed()
	if !f.selection[0].PCRs.Has(14) {
		t.Errorf("asked for %v", f.selection)
	}
	f.attest()
	if a := f.want("the boot that is allowed", wire.Trusted); a.Policies.Boot != "front" || a.Policies.BootDigest == "" {
		t.Errorf("%+v", a.Policies)
	}
	f.add(other)
	f.want("before it is judged again", wire.Pending)
	f.judged()
	if a := f.want("a tighter policy", wire.Untrusted, example); !strings.Contains(a.Reason, "1 standing failure") {
		t.Errorf("%+v", a)
	}
	f.add(other, log)
	f.judged()
	f.want("both allowed", wire.Trusted)
	f.attest()
	f.want("and attested", wire.Trusted)

	f.booted(other)
	f.attest()
	f.want("the other one booted", wire.Trusted)
	f.add(log)
	f.judged()
	f.want("not allowed any more", wire.Untrusted, example)

	f.assign("")
	f.judged()
	f.want("nobody evaluates: that judges nothing away", wire.Untrusted, example)
	f.assign("front")
	f.judged()
	f.want("evaluated again", wire.Untrusted, example)

	f.must(f.clear())
	f.want("cleared", wire.Trusted)
	f.attest()
	f.want("the same boot is not found again", wire.Trusted)
	f.add(log, log)
	f.judged()
	f.want("nor by another policy that says the same of it", wire.Trusted)
	f.machine.Reboot()
	f.machine.File("/bin/a", good)
	f.attest()
	f.want("the next boot is", wire.Untrusted, example)
	f.booted(log)
	f.attest()
	f.want("a good boot launders nothing", wire.Untrusted, example)
}

// I14: the failures of a boot that is over stand until a boot policy allows that boot,
// or an operator clears them.
func TestI14_PastBootsAreJudgedAgain(t *testing.T) {
	log, other := boots(t)
	third := verifiertest.WithCommandLine(log, "/vmlinuz quiet")
	f := newPlatform(t, log)
	f.add(log)
	f.assign("front")
	f.welcomed()
	f.booted(other)
	f.attest()
	f.booted(third)
	f.attest()
	f.booted(log)
	f.attest()
	f.want("two bad boots and a good one", wire.Untrusted, example, example)
	f.add(log, log, third)
	f.judged()
	f.want("one of them allowed", wire.Untrusted, example)
	f.assign("")
	f.judged()
	f.want("nobody evaluates", wire.Untrusted, example)
	f.assign("front")
	f.add(log, other)
	f.judged()
	f.want("the other allowed", wire.Trusted)
	f.add(log)
	f.judged()
	f.want("what is over is not found again", wire.Trusted)
}

// I14: a policy that allows what was wrong with a past boot, and finds something else in
// it, takes no failure of it away.
func TestI14_PastBootThatFailsForAnotherReason(t *testing.T) {
	log, other := boots(t)
	f := newPlatform(t, log)
	f.add(log)
	f.assign("front")
	f.welcomed()
	f.booted(other)
	f.attest()
	f.booted(log)
	f.attest()
	p := referenceTo(t, log, other)
	text := regexp.MustCompile(`("scrtm":\s*\{\s*"sha256":\s*"0x)..`).ReplaceAllString(p.Text, "${1}00")
	if text == p.Text {
		t.Fatalf("no digest of firmware in %s", text)
	}
	p.Text, p.Digest = text, hex.EncodeToString(pcr.SHA256.Sum([]byte(text)))
	f.must(f.server.store.BootPolicies.Update(t.Context(), p))
	f.judged()
	if a := f.trust(); a.Trust != wire.Untrusted || a.FailureCount < 2 {
		t.Errorf("%s with %d failures: that of the past boot is gone", a.Trust, a.FailureCount)
	}
	f.add(log, other)
	f.judged()
	f.want("both allowed", wire.Trusted)
}

// I10: a past boot whose evidence does not hold any more keeps its failures, and keeps
// no agent from being judged.
func TestI10_PastBootThatCannotBeJudged(t *testing.T) {
	log, other := boots(t)
	f := newPlatform(t, log)
	f.add(log)
	f.assign("front")
	f.welcomed()
	f.booted(other)
	f.attest()
	f.booted(log)
	f.attest()
	p, err := f.server.platform(t.Context(), f.enrolment, f.standing)
	f.must(err)
	e := f.enrolment
	e.AK = softtpm.New(t).Public
	if away, err := f.server.awayOfPast(t.Context(), e, p); err != nil || len(away) != 0 {
		t.Error(away, err)
	}
	f.want("a bad boot and a good one", wire.Untrusted, example)
}

// I15: what the stored quote does not cover is pending until the machine was asked
// for it, in another session.
func TestI15_AskedForInAnotherSession(t *testing.T) {
	log, _ := boots(t)
	f := newPlatform(t, log)
	f.welcomed()
	f.attest()
	f.add(log)
	f.assign("front")
	f.judged()
	if a := f.want("assigned", wire.Pending); !strings.Contains(a.Reason, "waits for a quote") {
		t.Errorf("%+v", a)
	}
	before := f.trust().Revision
	f.judged()
	if a := f.trust(); a.Revision != before {
		t.Error("it was judged again, for nothing")
	}
	f.attest()
	f.want("evidence of the old session", wire.Pending)
	if err := f.covers(t.Context()); !errors.Is(err, errRenew) {
		t.Errorf("the session goes on: %v", err)
	}
	f.welcomed()
	f.attest()
	f.want("asked for", wire.Trusted)
	if err := f.covers(t.Context()); err != nil {
		t.Error(err)
	}
}

// A boot that cannot be judged for want of a log is a condition, over when it comes.
func TestI21_NoBootLog(t *testing.T) {
	log, _ := boots(t)
	f := newPlatform(t, log)
	f.add(log)
	f.assign("front")
	f.welcomed()
	f.log = nil
	f.attest()
	f.want("no log", wire.Untrusted, wire.BootLogMissing)
	f.judged()
	f.want("judged again", wire.Untrusted, wire.BootLogMissing)
	f.must(f.server.store.RuntimePolicies.Update(t.Context(), allow("/bin/b")))
	f.must(f.server.store.RuntimePolicies.Update(t.Context(), allow("/bin/a")))
	f.judged()
	f.want("its list judged again", wire.Untrusted, wire.BootLogMissing)
	f.attest()
	f.want("still no log", wire.Untrusted, wire.BootLogMissing)
	f.log = log
	f.attest()
	f.want("the log came", wire.Trusted)
}

// A machine that was suspended needs no other log, and one that was booted does.
func TestI14_ASuspendKeepsTheBootLog(t *testing.T) {
	log, _ := boots(t)
	f := newPlatform(t, log)
	f.add(log)
	f.assign("front")
	f.welcomed()
	f.attest()
	f.log = nil
	f.machine.AK.Counters.Restart++
	f.attest()
	if a := f.want("suspended", wire.Trusted); a.Epoch.RestartCount != 1 || !f.standing.HaveBoot {
		t.Errorf("%+v", a.Epoch)
	}
	f.add(log, log)
	f.judged()
	f.want("judged again", wire.Trusted)
	f.machine.Reboot()
	f.machine.File("/bin/a", good)
	f.attest()
	f.want("booted", wire.Untrusted, wire.BootLogMissing)
	f.log = log
	f.attest()
	f.want("the log came", wire.Trusted)
	f.log = nil
	f.machine.AK.Counters.Restart++
	_, other := boots(t)
	f.machine.PCRs = verifiertest.LedTo(other, pcr.SHA1, pcr.SHA256)
	list := f.machine.List[1:]
	f.machine.List, f.machine.PCR = nil, ima.NewState(pcr.SHA256)
	f.machine.Measure(append([]ima.Entry{f.machine.Aggregate()}, list...)...)
	f.attest()
	f.want("resumed with other PCRs", wire.Untrusted, wire.BootLogMissing)
}

// What is no log, or one of another boot, is a failure that stays as long as the
// boot lasts.
func TestI20_BadBootLogs(t *testing.T) {
	log, other := boots(t)
	for name, c := range map[string]struct {
		sent []byte
		ids  []wire.FailureID
	}{
		"no log":       {[]byte("no log"), []wire.FailureID{wire.BootLogMalformed}},
		"another boot": {other, []wire.FailureID{wire.BootInvalidPCR(8)}},
	} {
		f := newPlatform(t, log)
		f.add(log)
		f.assign("front")
		f.welcomed()
		f.log = c.sent
		f.attest()
		f.want(name, wire.Untrusted, c.ids...)
		f.log = log
		f.attest()
		f.want(name+", then the right one", wire.Untrusted, c.ids...)
	}
}

// I20: what is measured after the boot was judged is judged, too.
func TestI20_ExtendedAfterTheBootWasJudged(t *testing.T) {
	log, _ := boots(t)
	f := newPlatform(t, log)
	f.add(log)
	f.assign("front")
	f.welcomed()
	f.attest()
	f.want("as it was booted", wire.Trusted)
	f.machine.PCRs = verifiertest.LedTo(verifiertest.EditLog(log, func(all []verifiertest.LogEvent) []verifiertest.LogEvent {
		for _, e := range all {
			if e.PCR == 14 {
				return append(all, e)
			}
		}
		return nil
	}), pcr.SHA1, pcr.SHA256)
	f.attest()
	f.want("PCR 14 extended", wire.Untrusted, wire.BootInvalidPCR(14))
}

// I04: a boot that has failed is not judged again for whatever the machine extends
// then; once the failure is cleared, it is.
func TestI04_I20_AFailedBootIsJudgedOnce(t *testing.T) {
	log, other := boots(t)
	f := newPlatform(t, other)
	f.add(log)
	f.assign("front")
	f.welcomed()
	f.attest()
	f.want("failed", wire.Untrusted, example)
	f.machine.PCRs = verifiertest.LedTo(verifiertest.EditLog(other, func(all []verifiertest.LogEvent) []verifiertest.LogEvent {
		return append(all, verifiertest.LogEvent{PCR: 14, Digests: all[0].Digests})
	}), pcr.SHA1, pcr.SHA256)
	f.attest()
	f.want("extended", wire.Untrusted, example)
	f.must(f.clear())
	f.attest()
	f.want("cleared", wire.Untrusted, wire.BootInvalidPCR(14))
}

// I22: what happens while evidence arrives is part of its verdict.
func TestI22_BootPolicyChangesWhileEvidenceArrives(t *testing.T) {
	log, other := boots(t)
	none := ""
	var no rest.Text
	zeros := rest.Text(`{"16":"` + strings.Repeat("0", 64) + `"}`)
	ones := rest.Text(`{"8":"` + strings.Repeat("1", 64) + `"}`)
	for name, c := range map[string]struct {
		change func(f *platformFixture)
		trust  wire.Trust
		ids    []wire.FailureID
	}{
		"a tighter boot policy":            {func(f *platformFixture) { f.add(other) }, wire.Untrusted, []wire.FailureID{example}},
		"a looser boot policy":             {func(f *platformFixture) { f.add(other, log) }, wire.Trusted, nil},
		"no boot policy":                   {func(f *platformFixture) { f.assign(none) }, wire.Trusted, nil},
		"a TPM policy of a quoted PCR":     {func(f *platformFixture) { f.update(rest.AgentUpdate{TPMPolicy: &ones}) }, wire.Untrusted, []wire.FailureID{wire.PCRInvalid(8)}},
		"a TPM policy of a PCR not quoted": {func(f *platformFixture) { f.update(rest.AgentUpdate{TPMPolicy: &zeros}) }, wire.Pending, nil},
		"no TPM policy":                    {func(f *platformFixture) { f.update(rest.AgentUpdate{TPMPolicy: &no}) }, wire.Trusted, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newPlatform(t, log)
			f.add(log)
			f.assign("front")
			f.welcomed()
			ev, b, r := f.began()
			r.logs.Boot = log
			c.change(f)
			if accepted, err := f.settle(t.Context(), ev, b, r); !accepted || err != nil {
				t.Fatal(accepted, err)
			}
			f.want(name, c.trust, c.ids...)
			if f.judged(); c.trust != wire.Pending {
				f.want(name+", judged again", c.trust, c.ids...)
			}
		})
	}
}

// I07: failures of boots and PCRs, and what a boot policy waits for, have labels as
// others do.
func TestI07_ToleratedBoots(t *testing.T) {
	log, other := boots(t)
	f := newPlatform(t, other)
	f.add(log)
	f.assign("front")
	ones := rest.Text(`{"8":"` + strings.Repeat("1", 64) + `"}`)
	f.update(rest.AgentUpdate{TPMPolicy: &ones})
	label := func(rules ...severity.Rule) {
		t.Helper()
		scale, err := severity.New(severity.DefaultLabels(), rules)
		f.must(err)
		_, err = f.server.store.Label(t.Context(), scale)
		f.must(err)
	}
	boot, waits := severity.Rule{EventID: `measured_boot\.policy_.*`, Label: "error"}, severity.Rule{EventID: `measured_boot\.log_missing`, Label: "notice"}
	pcrs := severity.Rule{EventID: `pcr_validation\..*`, Label: "critical"}
	label(boot, pcrs)
	f.welcomed()
	f.attest()
	if a := f.want("tolerated", wire.Trusted, wire.PCRInvalid(8), example); a.ToleratedCount != 2 || a.Severity != "critical" {
		t.Errorf("%+v", a)
	}
	before := f.machine.PCRs
	f.machine.PCRs = verifiertest.LedTo(verifiertest.EditLog(other, func(all []verifiertest.LogEvent) []verifiertest.LogEvent {
		return append(all, verifiertest.LogEvent{PCR: 14, Digests: all[0].Digests})
	}), pcr.SHA1, pcr.SHA256)
	f.attest()
	f.want("what is not tolerated is found, too", wire.Untrusted, wire.BootInvalidPCR(14), wire.PCRInvalid(8), example)
	f.must(f.clear())
	f.machine.PCRs = before
	f.machine.Reboot()
	f.machine.File("/bin/a", good)
	f.attest()
	f.want("booted again", wire.Trusted, wire.PCRInvalid(8), example)
	label(boot)
	f.want("the PCR counts", wire.Untrusted, wire.PCRInvalid(8), example)
	label(boot, pcrs, waits)
	f.machine.Reboot()
	f.machine.File("/bin/a", good)
	f.log = nil
	f.attest()
	if a := f.want("no log, tolerated", wire.Trusted, wire.PCRInvalid(8), wire.PCRInvalid(8), example, wire.BootLogMissing); a.Severity != "critical" {
		t.Errorf("%+v", a)
	}
}
