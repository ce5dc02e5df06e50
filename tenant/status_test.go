package tenant

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
)

// bad is an untrusted agent of which everything is known.
func bad() rest.Agent {
	entry, until := uint64(1406), now.Add(20*time.Second)
	return rest.Agent{
		ID: strings.Repeat("a", 64), Label: "web\x1b[0m", Trust: wire.Untrusted, Reason: "/tmp/evil is not in the runtime policy",
		FreshUntil: &until, Connected: true, EnrolledAt: now.Add(-50 * time.Hour),
		Policies: rest.Policies{Runtime: "web", RuntimeSignedBy: []rest.Signer{{KeyID: "k", Subject: "CN=release\x1b"}}, Boot: wire.NotEvaluated},
		Epoch:    &rest.Epoch{ID: "0123", ResetCount: 5, RestartCount: 1, Entries: 1407, IMABank: pcr.SHA256, StartedAt: now.Add(-time.Hour)},
		Last: &rest.Attestation{
			At: now.Add(-3 * time.Second), NonceIssued: now.Add(-4 * time.Second), Trigger: wire.TriggerGrowth,
			First: 1406, Entries: 1, ReplayNanos: 123456, Clock: 3_600_000, Firmware: "20191023",
		},
		Rejected: &rest.Rejection{At: now.Add(-time.Minute), ID: wire.QuoteStale, Message: "nonce used before", Count: 2},
		Failures: []wire.Failure{
			{ID: wire.IMANotInPolicy, Message: "no digest for the path", Epoch: "0123", Entry: &entry, Path: "/tmp/evil\x1b[8m", Got: "sha256:00ff", Hint: "add it to the policy"},
			{ID: wire.IMAWrongDigest, Message: "other digests", Path: "/usr/bin/x", Got: "sha256:01", Expected: []string{"sha256:02", "sha256:03"}},
		},
		FailureCount: 3,
		Cleared:      &rest.Cleared{Count: 2, At: now.Add(-time.Hour)},
	}
}

func TestAgentStatusOfUntrusted(t *testing.T) {
	f := start(t)
	f.set(bad())
	f.run(t, "agent", "status", "aaaaaa").want(t, exitOtherState, `
untrusted  aaaaaaaaaaaa  web\x1b[0m
/tmp/evil is not in the runtime policy

Enrolment
  id              aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
  enrolled        2026-03-02T03:06:07Z (2 days ago)
  connected       yes
  runtime policy  web, signed by CN=release\x1b
  boot policy     not evaluated: nothing is judged by one
  TPM policy      not evaluated: nothing is judged by one
  cleared         2 failures at 2026-03-04T04:06:07Z (1 h ago)

Boot
  epoch           0123
  counters        reset 5, restart 1
  first evidence  2026-03-04T04:06:07Z (1 h ago)
  entries         1407 certified, bank sha256

Last attestation
  at            2026-03-04T05:06:04Z (3 s ago)
  nonce issued  2026-03-04T05:06:03Z (4 s ago)
  because of    growth
  carried       1 entry from entry 1406
  replayed in   123 µs
  TPM clock     1h0m0s
  TPM firmware  20191023

Last rejected evidence
  at       2026-03-04T05:05:07Z (1 min ago)
  id       quicklime.nonce
  message  nonce used before
  count    2 since the enrolment

Failures: 3
1. ima.validation.ima-ng.not_in_allowlist
  message  no digest for the path
  entry    1406
  path     /tmp/evil\x1b[8m
  seen     sha256:00ff
  epoch    0123
  hint     add it to the policy
2. ima.validation.ima-ng.runtime_policy_hash
  message   other digests
  path      /usr/bin/x
  seen      sha256:01
  expected  sha256:02, sha256:03
and 1 more; --json shows 2 of them all
`[1:], "")
}

func TestAgentStatusOfPending(t *testing.T) {
	f := start(t)
	f.set(rest.Agent{ID: strings.Repeat("b", 64), Label: "new", Trust: wire.Pending, EnrolledAt: now, Policies: rest.Policies{Runtime: wire.NotEvaluated}})
	f.run(t, "agent", "status", "new").want(t, exitOtherState, `
pending  bbbbbbbbbbbb  new

Enrolment
  id              bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
  enrolled        2026-03-04T05:06:07Z (just now)
  connected       no
  runtime policy  not evaluated: nothing is judged by one
  boot policy     not evaluated: nothing is judged by one
  TPM policy      not evaluated: nothing is judged by one

Last attestation
  at  never: no quote of this agent was verified yet
`[1:], "")
}

// Until when evidence counts says nothing about a machine that is not trusted.
func TestAgentStatusShowsFreshnessOnlyWhereItCounts(t *testing.T) {
	for trust, want := range map[wire.Trust]bool{wire.Trusted: true, wire.Unjudged: true, wire.Untrusted: false, wire.Stale: false, wire.Pending: false} {
		a := bad()
		a.Trust = trust
		var b strings.Builder
		(&program{now: func() time.Time { return now }}).writeStatus(&b, a)
		if shown := strings.Contains(b.String(), "  evidence fresh until  2026-03-04T05:06:27Z\n"); shown != want {
			t.Errorf("%s: shown %v\n%s", trust, shown, b.String())
		}
	}
}

func TestAgentStatusExitCodes(t *testing.T) {
	for trust, want := range map[wire.Trust]int{wire.Trusted: 0, wire.Untrusted: 3, wire.Pending: 3, wire.Stale: 3, wire.Unjudged: 3} {
		for _, flags := range [][]string{nil, {"--json"}} {
			f := start(t)
			f.set(rest.Agent{ID: strings.Repeat("a", 64), Trust: trust})
			o := f.run(t, append([]string{"agent", "status", "aaaaaa"}, flags...)...)
			if o.code != want || o.stderr != "" {
				t.Errorf("%s %v: exit code %d, stderr %q", trust, flags, o.code, o.stderr)
			}
		}
	}
}

// What could not be found out is not taken for a machine that is not trusted.
func TestAgentStatusThatCannotBeFoundOut(t *testing.T) {
	id := strings.Repeat("a", 64)
	for name, spoil := range map[string]func(*fake){
		"no such agent": func(f *fake) { delete(f.agents, id) },
		"no verifier":   func(f *fake) { f.verifier.Close() },
		"a failure":     func(f *fake) { f.failures[rest.GetAgent] = rest.Errorf(rest.CodeInternal, "no disk") },
		"an open key": func(f *fake) {
			if err := os.Chmod(f.file("tenant.key"), 0o644); err != nil {
				t.Fatal(err)
			}
		},
	} {
		for _, flags := range [][]string{nil, {"--wait", "trusted"}, {"--watch"}, {"--json"}} {
			f := start(t)
			f.set(rest.Agent{ID: id, Trust: wire.Untrusted})
			spoil(f)
			if o := f.run(t, append([]string{"agent", "status", id}, flags...)...); o.code != exitFailed || o.stdout != "" || o.stderr == "" {
				t.Errorf("%s, %v: %+v", name, flags, o)
			}
		}
	}
}

// A verifier that goes away while the tenant waits is no agent that is late.
func TestAgentStatusWaitsForAVerifierThatGoes(t *testing.T) {
	f := start(t)
	id := strings.Repeat("a", 64)
	f.set(rest.Agent{ID: id, Trust: wire.Untrusted})
	stop := eventually(t, f, id, func(*rest.Agent) {
		if f.polls > 0 {
			f.failures[rest.GetAgent] = rest.Errorf(rest.CodeInternal, "no disk")
		}
	})
	defer stop()
	if o := f.run(t, "agent", "status", id, "--wait", "trusted"); o.code != exitFailed || !strings.Contains(o.stderr, "internal error") {
		t.Errorf("%+v", o)
	}
}

func TestAgentStatusJSONIsTheAgent(t *testing.T) {
	f := start(t)
	f.set(bad())
	var got rest.Agent
	o := f.run(t, "agent", "status", "aaaaaa", "--json")
	if err := json.Unmarshal([]byte(o.stdout), &got); err != nil {
		t.Fatalf("%v: %s", err, o.stdout)
	}
	if diff := cmp.Diff(f.agents[got.ID], got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if strings.Contains(o.stdout, "\x1b") {
		t.Error("a control character came through")
	}
}

func TestAgentStatusWaits(t *testing.T) {
	f := start(t)
	id := strings.Repeat("a", 64)
	f.set(rest.Agent{ID: id, Trust: wire.Trusted})
	stop := eventually(t, f, id, func(a *rest.Agent) { a.Trust, a.Reason = wire.Untrusted, "evil" })
	defer stop()
	o := f.run(t, "agent", "status", id, "--wait", "untrusted")
	if o.code != 0 || !strings.HasPrefix(o.stdout, "untrusted") || o.stderr != "waiting for untrusted: trusted\n" && o.stderr != "" {
		t.Errorf("%+v", o)
	}
}

// When the time is up the operator sees what there is, and why that may be.
func TestAgentStatusWaitsInVain(t *testing.T) {
	for _, c := range []struct {
		a    rest.Agent
		hint string
	}{
		{rest.Agent{Trust: wire.Untrusted}, "agent status aaaaaaaaaaaa\" shows the failures"},
		{rest.Agent{Trust: wire.Stale}, "is quicklime-agent running there?"},
		{rest.Agent{Trust: wire.Unjudged, Connected: true}, "name a policy with \"quicklime-tenant agent update aaaaaaaaaaaa --policy"},
		{rest.Agent{Trust: wire.Pending, Connected: true}, "the verifier's log"},
	} {
		f := start(t)
		c.a.ID = strings.Repeat("a", 64)
		f.set(c.a)
		o := f.run(t, "agent", "status", c.a.ID, "--wait", "trusted", "--timeout", "10ms")
		if o.code != exitOtherState || !strings.HasPrefix(o.stdout, string(c.a.Trust)) || !strings.Contains(o.stderr, c.hint) {
			t.Errorf("%+v", o)
		}
	}
}

// What is tolerated leaves a machine trusted, and shows.
func TestAgentStatusOfTolerated(t *testing.T) {
	f := start(t)
	raised := now.Add(-time.Minute)
	f.set(rest.Agent{ID: strings.Repeat("a", 64), Label: "web", Trust: wire.Trusted, Severity: "error", RaisedAt: &raised, FailureCount: 1, ToleratedCount: 1,
		Failures: []wire.Failure{{ID: wire.IMAViolation, Severity: "error", Tolerated: true, Message: "a violation"}}, Policies: rest.Policies{Runtime: "web"}})
	o := f.run(t, "agent", "status", "aaaaaa")
	if o.code != 0 {
		t.Errorf("exit code %d", o.code)
	}
	for _, want := range []string{"\n  severity        error, raised at 2026-03-04T05:05:07Z (1 min ago)\n",
		"\nFailures: 1, of which 1 tolerated\n1. ima.validation.tomtou\n  severity  error, tolerated\n  message   a violation\n"} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("no %q in\n%s", want, o.stdout)
		}
	}
	o = f.run(t, "agent", "status", "aaaaaa", "--json")
	for _, want := range []string{`"severity": "error"`, `"tolerated_count": 1`, `"severity_raised_at": "2026-03-04T05:05:07Z"`, `"tolerated": true`} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("no %s in\n%s", want, o.stdout)
		}
	}
	if o = f.run(t, "agent", "list"); !strings.Contains(o.stdout, "severity error; 1 failure tolerated") {
		t.Errorf("%s", o.stdout)
	}
}

func TestAgentStatusShowsConditions(t *testing.T) {
	f := start(t)
	f.set(rest.Agent{ID: strings.Repeat("a", 64), Label: "web", Trust: wire.Untrusted, Reason: "the policy waits", Severity: "emergency",
		Conditions: []wire.Failure{{ID: "ima.validation.dm.x", Severity: "emergency", Message: "no device"}}, Policies: rest.Policies{Runtime: "web"}})
	if o := f.run(t, "agent", "status", "aaaaaa"); o.code != exitOtherState || !strings.Contains(o.stdout, "\nWaiting for: 1\n1. ima.validation.dm.x\n  severity  emergency\n  message   no device\n") || strings.Contains(o.stdout, "Failures") {
		t.Errorf("%+v", o)
	}
}

func TestStatusShowsTwentyFailures(t *testing.T) {
	a := bad()
	for i := range 30 {
		a.Failures = append(a.Failures, wire.Failure{ID: wire.FailureID(fmt.Sprint("f", i))})
	}
	a.FailureCount = 900
	var b strings.Builder
	writeFailures(&b, a)
	if !strings.Contains(b.String(), "\n20. f17\n") || strings.Contains(b.String(), "21. ") || !strings.Contains(b.String(), "and 880 more; --json shows 32 of them all") {
		t.Errorf("%s", b.String())
	}
}

// What an agent has of notices is said with what to do about it.
func TestNoticeWords(t *testing.T) {
	for want, n := range map[string]rest.Notices{
		"none yet":                            {},
		"the last is number 7; 2 are missing": {Last: 7, Missing: 2, Key: rest.NoticeKeyCurrent},
		"the last is number 7; it has not taken the verifier's new revocation key yet":                                                                    {Last: 7, Key: rest.NoticeKeyEarlier},
		"none yet; it pins a revocation key that is not the verifier's: join again with a new token":                                                      {Key: rest.NoticeKeyUnknown},
		"none yet; it refuses them, for its clock is 2h0m5s behind the verifier's: set the one that is wrong, and they are sent again within a minute":    {Refused: wire.RefusedClock, ClockOff: -7205},
		"none yet; it refuses them, for its clock is 24h0m0s ahead of the verifier's: set the one that is wrong, and they are sent again within a minute": {Refused: wire.RefusedClock, ClockOff: 86400},
		"the last is number 1; it refuses them: they are not by the key that it pins":                                                                     {Last: 1, Refused: wire.RefusedKey},
		"the last is number 1; it cannot keep them, and its log says why; they are sent again every minute":                                               {Last: 1, Refused: wire.RefusedStorage},
	} {
		if got := noticeWords(n); got != want {
			t.Errorf("%+v: %q", n, got)
		}
	}
}
