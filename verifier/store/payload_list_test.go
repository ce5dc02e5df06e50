package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"quicklime/verifier/verifiertest"
	"quicklime/wire/payload"
)

// Payloads of all agents come a number of them at a time, and those of one agent
// together.
func TestI04_I10_AllPayloadsInPages(t *testing.T) {
	d := newDamaged(t)
	s := d.Store
	var ids, want []string
	for n := range 9 {
		m := verifiertest.New(t)
		m.AgentID = strings.Repeat(fmt.Sprintf("%02x", 9*n), 32)
		enrol(t, s, m, "")
		if n == 4 {
			continue // it never had one
		}
		ids = append(ids, m.AgentID)
		for k := range 3 {
			name := fmt.Sprint("p", k)
			newPayload(t, 1, 10, named(name), func(p *payload.Manifest) { p.Agent = m.AgentID }).send(t, s)
			want = append(want, m.AgentID+" "+name)
		}
	}
	if err := s.WithdrawPayload(t.Context(), ids[0], "p1"); err != nil {
		t.Fatal(err)
	}
	var got []string
	pages := 0
	for after := ""; ; pages++ {
		l, err := s.ListAllPayloadsUntil(t.Context(), after, 6)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range l.Agents {
			if a.Label != "box" || a.Unreadable > 0 {
				t.Errorf("%+v", a)
			}
			for _, p := range a.Payloads {
				got = append(got, a.Agent+" "+p.Name)
			}
		}
		if len(l.Agents) > 2 {
			t.Errorf("%d agents at once", len(l.Agents))
		}
		if after = l.Next; after == "" {
			break
		}
	}
	if !slices.Equal(got, want) || pages != 3 {
		t.Errorf("%d pages: %q\nwant %q", pages, got, want)
	}
	// What cannot be read takes nothing else with it.
	d.exec(`UPDATE payload SET manifest = x'00' WHERE name = 'p1'`)
	l, err := s.ListAllPayloads(t.Context(), "")
	if err != nil || len(l.Agents) != len(ids) || l.Next != "" {
		t.Fatalf("%+v, %v", l, err)
	}
	for _, a := range l.Agents {
		if len(a.Payloads) != 2 || a.Unreadable != 1 {
			t.Errorf("%+v", a)
		}
	}
	if l, err := s.ListAllPayloads(t.Context(), ids[len(ids)-1]); err != nil || l.Agents == nil || len(l.Agents) > 0 || l.Next != "" {
		t.Errorf("%+v, %v", l, err)
	}
}
