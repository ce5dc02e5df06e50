package tenant

import (
	"context"
	"encoding/json"
	"fmt"
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
		TrustedUntil: &until, Connected: true, EnrolledAt: now.Add(-50 * time.Hour),
		Policies: rest.Policies{Runtime: "web", Boot: wire.NotEvaluated},
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
	}
}

func TestAgentStatusOfUntrusted(t *testing.T) {
	f := start(t)
	f.set(bad())
	f.run(t, "agent", "status", "aaaaaa").want(t, exitFailed, `
untrusted  aaaaaaaaaaaa  web\x1b[0m
/tmp/evil is not in the runtime policy

Enrolment
  id              aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
  enrolled        2026-03-02T03:06:07Z (2 days ago)
  connected       yes
  trusted until   2026-03-04T05:06:27Z
  runtime policy  web
  boot policy     not evaluated: nothing is judged by one

Boot
  epoch           0123
  counters        reset 5, restart 1
  first evidence  2026-03-04T04:06:07Z (1 h ago)
  entries         1407 certified, bank sha256

Last attestation
  at            2026-03-04T05:06:04Z (3 s ago)
  nonce issued  2026-03-04T05:06:03Z (4 s ago)
  because of    growth
  carried       1 entries from entry 1406
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
	f.run(t, "agent", "status", "new").want(t, exitFailed, `
pending  bbbbbbbbbbbb  new

Enrolment
  id              bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
  enrolled        2026-03-04T05:06:07Z (just now)
  connected       no
  runtime policy  not evaluated: nothing is judged by one
  boot policy     not evaluated: nothing is judged by one

Last attestation
  at  never: no quote of this agent was verified yet
`[1:], "")
}

func TestAgentStatusExitCodes(t *testing.T) {
	for trust, want := range map[wire.Trust]int{wire.Trusted: 0, wire.Untrusted: 1, wire.Pending: 1, wire.Stale: 1} {
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
		{rest.Agent{Trust: wire.Pending, Connected: true}, "the verifier's log"},
	} {
		f := start(t)
		c.a.ID = strings.Repeat("a", 64)
		f.set(c.a)
		o := f.run(t, "agent", "status", c.a.ID, "--wait", "trusted", "--timeout", "10ms")
		if o.code != exitFailed || !strings.HasPrefix(o.stdout, string(c.a.Trust)) || !strings.Contains(o.stderr, c.hint) {
			t.Errorf("%+v", o)
		}
	}
}

// A changed machine is shown once for each change, however often it attests, and
// an interrupt ends the watch with what the agent was.
func TestAgentStatusWatch(t *testing.T) {
	f := start(t)
	id := strings.Repeat("a", 64)
	a := rest.Agent{ID: id, Trust: wire.Trusted, Connected: true, Epoch: &rest.Epoch{Entries: 7, ResetCount: 2, IMABank: pcr.SHA256}}
	f.set(a)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	stop := eventually(t, f, id, func(a *rest.Agent) {
		if f.polls >= 3 {
			a.Trust, a.Reason, a.FailureCount, a.Connected = wire.Untrusted, "evil\x07", 1, false
		}
		if f.polls >= 6 {
			interrupt()
		}
	})
	defer stop()
	o := f.runWith(t, ctx, strings.NewReader(""), "agent", "status", id, "--watch")
	want := "05:06:07  untrusted, evil\\a; 7 entries of boot 2.0; 1 failures; not connected\n"
	if o.code != exitFailed || !strings.HasSuffix(o.stdout, want) || strings.Count(o.stdout, "05:06:07  ") != 1 || o.stderr != "" {
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
