package tenant

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quicklime/wire"
	"quicklime/wire/rest"
)

// happen records an event.
func (f *fake) happen(e rest.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, e)
	close(f.moved)
	f.moved = make(chan struct{})
}

var lost = rest.Event{
	Sequence: 3, ID: strings.Repeat("0a", 16), Kind: wire.EventLost, Agent: strings.Repeat("b", 64), Label: "web\x1b", Was: wire.Trusted, Trust: wire.Untrusted,
	Severity: "emergency", At: now, Failure: &wire.Failure{ID: wire.IMANotInPolicy, Message: "m", Path: "/bin/b"},
}

func TestEvents(t *testing.T) {
	f := start(t)
	f.run(t, "events").want(t, 0, "", "nothing has happened\n")
	f.run(t, "events", "--json").want(t, 0, "{\n  \"events\": [],\n  \"last\": 0\n}\n", "")
	f.happen(lost)
	f.run(t, "events").want(t, 0, `SEQ  TIME                  KIND  AGENT         LABEL    WAS      IS         SEVERITY   FAILURE                                 WHAT
3    2026-03-04T05:06:07Z  lost  bbbbbbbbbbbb  web\x1b  trusted  untrusted  emergency  ima.validation.ima-ng.not_in_allowlist  /bin/b
`, "")
	f.run(t, "events", "--after", "3").want(t, 0, "", "nothing has happened\n")
	if o := f.run(t, "events", "--after", "0"); !strings.Contains(o.stdout, "/bin/b") {
		t.Errorf("%+v", o)
	}
	if o := f.run(t, "events", "x"); o.code != exitUsage {
		t.Errorf("%+v", o)
	}
}

// Following goes on where it was through a restart of the verifier, shows each event
// once, and ends with an interrupt.
func TestEventsFollow(t *testing.T) {
	f := start(t)
	f.happen(lost)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	ended := make(chan outcome)
	go func() { ended <- f.runWith(t, ctx, strings.NewReader(""), "events", "--follow") }()
	f.polled(t, 1)
	f.verifier.Close()
	time.Sleep(50 * time.Millisecond) // time enough for more than one attempt
	f.happen(rest.Event{Sequence: 9, Kind: wire.EventRegained, Agent: lost.Agent, Label: "web", Was: wire.Untrusted, Trust: wire.Trusted, At: now})
	f.verifier.Open()
	f.polled(t, 2)
	interrupt()
	o := <-ended
	want := `3  2026-03-04T05:06:07Z  lost  bbbbbbbbbbbb web\x1b: untrusted, was trusted; ima.validation.ima-ng.not_in_allowlist (emergency): /bin/b
9  2026-03-04T05:06:07Z  regained  bbbbbbbbbbbb web: trusted, was untrusted
`
	if o.code != exitDone || o.stdout != want || strings.Count(o.stderr, "verifier unreachable") != 1 || !strings.HasSuffix(o.stderr, "the verifier answers again\n") {
		t.Errorf("%+v", o)
	}
}

// With --json each line is an event.
func TestEventsFollowJSON(t *testing.T) {
	f := start(t)
	f.happen(lost)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	ended := make(chan outcome)
	go func() {
		ended <- f.runWith(t, ctx, strings.NewReader(""), "events", "--follow", "--json", "--after", "0")
	}()
	f.polled(t, 1)
	interrupt()
	o := <-ended
	var got rest.Event
	if err := json.Unmarshal([]byte(o.stdout), &got); err != nil || strings.Count(o.stdout, "\n") != 1 || strings.Contains(o.stdout, "\x1b") {
		t.Fatalf("%v: %+v", err, o)
	}
	if diff := cmp.Diff(lost, got, cmp.AllowUnexported(wire.Failure{})); diff != "" {
		t.Error(diff)
	}
}

func TestDeadLetters(t *testing.T) {
	f := start(t)
	f.run(t, "events", "dead").want(t, 0, "", "1 delivery is still being tried; the verifier's log says why\nthere are no dead letters\n")
	f.deadLetters = []rest.DeadLetter{{Webhook: "siem", Tries: 9, DeadAt: now.Add(-time.Hour), Problem: "it answered 500\x07", Event: lost}}
	f.run(t, "events", "dead").want(t, 0, `WEBHOOK  EVENT                             SEQ  KIND  AGENT         GIVEN UP  TRIES  PROBLEM
siem     0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a  3    lost  bbbbbbbbbbbb  1 h ago   9      it answered 500\a
`, "1 delivery is still being tried; the verifier's log says why\n")
	f.run(t, "events", "retry", "--webhook", "siem").want(t, 0, "2 dead letters are sent again\n", "")
	f.run(t, "events", "drop", "--all").want(t, 0, "2 dead letters are forgotten\n", "")
	f.run(t, "events", "drop", "--event", lost.ID, "--json").want(t, 0, "{\n  \"count\": 2\n}\n", "")
	want := []string{"/v1/dead-letters/retry siem ", "/v1/dead-letters/drop  ", "/v1/dead-letters/drop  " + lost.ID}
	if diff := cmp.Diff(want, f.changedDead); diff != "" {
		t.Error(diff)
	}
	for _, after := range []string{"x", "-1", "9223372036854775808"} {
		f.run(t, "events", "--after", after).want(t, exitUsage, "", `quicklime-tenant: invalid argument "`+after+`" for "--after" flag: want the sequence number of an event, as events shows it, or 0 for all that are kept
hint: see "quicklime-tenant events --help"
`)
	}
	for _, args := range [][]string{{"retry"}, {"drop"}, {"drop", "--all", "--webhook", "siem"}} {
		if o := f.run(t, append([]string{"events"}, args...)...); o.code != exitUsage {
			t.Errorf("%q: %+v", args, o)
		}
	}
}
