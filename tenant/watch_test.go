package tenant

import (
	"context"
	"strings"
	"testing"
	"time"

	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
)

// A changed machine is shown once for each change, however often it attests, and
// an interrupt is how a watch ends.
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
	want := "05:06:07  untrusted, evil\\a; 7 entries of boot 2.0; 1 failure; not connected\n"
	if o.code != exitDone || !strings.HasSuffix(o.stdout, want) || strings.Count(o.stdout, "05:06:07  ") != 1 || o.stderr != "" {
		t.Errorf("%+v", o)
	}
}

// A watch outlives a restart of the verifier, says so once, and shows what changed
// meanwhile.
func TestAgentStatusWatchesThroughARestart(t *testing.T) {
	f := start(t)
	id := strings.Repeat("a", 64)
	f.set(rest.Agent{ID: id, Trust: wire.Trusted, Connected: true})
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	ended := make(chan outcome)
	go func() { ended <- f.runWith(t, ctx, strings.NewReader(""), "agent", "status", id, "--watch") }()
	f.polled(t, 1)
	f.verifier.Close()
	time.Sleep(50 * time.Millisecond) // time enough for more than one attempt
	f.set(rest.Agent{ID: id, Trust: wire.Untrusted, Connected: true})
	f.verifier.Open()
	f.polled(t, 2)
	interrupt()
	o := <-ended
	if o.code != exitDone || !strings.HasSuffix(o.stdout, "\n05:06:07  untrusted\n") {
		t.Errorf("%+v", o)
	}
	first, rest, _ := strings.Cut(o.stderr, "\n")
	if !strings.HasPrefix(first, "verifier unreachable: https://127.0.0.1:") || !strings.HasSuffix(first, "; retrying") || rest != "the verifier answers again\n" {
		t.Errorf("stderr:\n%s", o.stderr)
	}
}

// An interrupt ends a watch of a verifier that does not come back.
func TestAgentStatusWatchIsInterruptedWhileTheVerifierIsDown(t *testing.T) {
	f := start(t)
	id := strings.Repeat("a", 64)
	f.set(rest.Agent{ID: id, Trust: wire.Untrusted})
	ctx, interrupt := context.WithCancel(t.Context())
	ended := make(chan outcome)
	go func() { ended <- f.runWith(t, ctx, strings.NewReader(""), "agent", "status", id, "--watch") }()
	f.polled(t, 1)
	f.verifier.Close()
	time.Sleep(10 * time.Millisecond)
	interrupt()
	if o := <-ended; o.code != exitDone {
		t.Errorf("%+v", o)
	}
}

// An agent that is deleted is no verifier that went away.
func TestAgentStatusWatchOfAnAgentThatIsDeleted(t *testing.T) {
	f := start(t)
	id := strings.Repeat("a", 64)
	f.set(rest.Agent{ID: id, Trust: wire.Trusted})
	ended := make(chan outcome)
	go func() { ended <- f.run(t, "agent", "status", id, "--watch") }()
	f.polled(t, 1)
	f.mu.Lock()
	f.change(f.agents[id])
	delete(f.agents, id)
	f.mu.Unlock()
	if o := <-ended; o.code != exitFailed || strings.Contains(o.stderr, "retrying") {
		t.Errorf("%+v", o)
	}
}

// polled waits until calls have waited for an agent n times.
func (f *fake) polled(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		f.mu.Lock()
		polls := f.polls
		f.mu.Unlock()
		if polls >= n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d calls have waited for an agent, want %d", polls, n)
		}
	}
}
