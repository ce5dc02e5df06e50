package api

import (
	"testing"
	"testing/synctest"
	"time"

	"quicklime/wire/rest"
)

// poll asks for an agent after revision and returns the answer and how long it
// took. It must run in a bubble.
func poll(t *testing.T, m *memory, path string) (rest.Agent, time.Duration) {
	t.Helper()
	h, start := serve(t, m, rest.RoleOperator), time.Now()
	w := call(t, h, "GET", path, nil)
	return decode[rest.Agent](t, w, 200), time.Since(start)
}

func TestGetAgentPolls(t *testing.T) {
	const id = "00000000000000000000000000000000000000000000000000000000000000aa"
	const path = "/v1/agents/" + id
	at := func(d time.Duration) *time.Time { when := time.Now().Add(d); return &when }
	cases := []struct {
		name     string
		path     string
		until    time.Duration // TrustedUntil, from now; 0: none
		change   time.Duration // when the agent changes; 0: never
		want     time.Duration // when the answer comes
		revision int64
	}{
		{"without after", path, 0, 0, 0, 7},
		{"an older revision", path + "?after=6", 0, 0, 0, 7},
		{"a change", path + "?after=7", 0, 3 * time.Second, 3 * time.Second, 8},
		{"no change", path + "?after=7", 0, 0, LongPoll, 7},
		{"a revision to come", path + "?after=8", 0, 3 * time.Second, LongPoll, 8},
		{"trust runs out", path + "?after=7", 10 * time.Second, 0, 10*time.Second + time.Millisecond, 7},
		{"trust ran out before", path + "?after=7", -time.Second, 0, LongPoll, 7},
		{"trust lasts longer", path + "?after=7", time.Hour, 0, LongPoll, 7},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				a := rest.Agent{ID: id, Revision: 7}
				if c.until != 0 {
					a.FreshUntil = at(c.until)
				}
				m.agents[id] = a
				if c.change > 0 {
					time.AfterFunc(c.change, func() { m.ClearAgent(t.Context(), id, rest.ClearRequest{}) })
				}
				got, took := poll(t, m, c.path)
				if got.Revision != c.revision || took != c.want {
					t.Errorf("revision %d after %v, want %d after %v", got.Revision, took, c.revision, c.want)
				}
			})
		})
	}
}
