package store_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"quicklime/ima"
	"quicklime/verifier/store"
	"quicklime/verifier/verifiertest"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
)

func search(t *testing.T, s *store.Store, q rest.MeasurementQuery) (found []string) {
	t.Helper()
	l, err := s.Search(t.Context(), q)
	if err != nil || l.Unreadable != 0 {
		t.Fatalf("%+v, %v", l, err)
	}
	for _, m := range l.Measurements {
		if m.Agent != verifiertest.AgentID || m.Label != "box" || m.At.IsZero() || len(m.Epoch) != 64 {
			t.Errorf("%+v", m)
		}
		found = append(found, fmt.Sprintf("%v %d %s %s", m.Current, m.Entry, m.Path, m.Digest))
	}
	if l.More {
		found = append(found, "more")
	}
	return found
}

// I18, I24: what a list says of files is found by path and by digest, now and in
// boots that are past, but for what nothing covers.
func TestI18_I24_Search(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	e := enrol(t, s, m, "")
	violation := ima.NewFileEntry(pcr.SHA256, good, "/bin/a")
	violation.Digest = make([]byte, 20)
	m.File("/bin/a", good)
	m.Measure(violation)
	m.File("/bin/\xff", bad)
	commit(t, s, m, e, nil)
	m.File("/bin/a", bad)
	m.File("/bin/a", good)
	commit(t, s, m, e, nil)
	g, b := fmt.Sprintf("sha256:%x", good), fmt.Sprintf("sha256:%x", bad)
	now := []string{"true 1 /bin/a " + g, "true 4 /bin/a " + b, "true 5 /bin/a " + g}
	past := []string{"false 1 /bin/a " + g, "false 4 /bin/a " + b, "false 5 /bin/a " + g}
	queries := func(when string, a []string, others ...string) {
		t.Helper()
		for _, c := range []struct {
			query rest.MeasurementQuery
			want  []string
		}{
			{rest.MeasurementQuery{Path: []byte("/bin/a")}, a},
			{rest.MeasurementQuery{Path: []byte("/bin/\xff")}, others},
			{rest.MeasurementQuery{Path: []byte("/bin")}, nil},
			{rest.MeasurementQuery{Digest: good, Algorithm: pcr.SHA256}, []string{a[0], a[2]}},
			{rest.MeasurementQuery{Digest: good}, []string{a[0], a[2]}},
			{rest.MeasurementQuery{Digest: good, Algorithm: pcr.SHA384}, nil},
			{rest.MeasurementQuery{Digest: bytes.Repeat([]byte{1}, 32)}, nil},
		} {
			if got := search(t, s, c.query); !slices.Equal(got, c.want) {
				t.Errorf("%s, %+v: %q, want %q", when, c.query, got, c.want)
			}
		}
	}
	queries("now", now, `true 3 "/bin/\xff" `+b)
	m.Reboot()
	commit(t, s, m, e, nil)
	queries("after a reboot", past, `false 3 "/bin/\xff" `+b)
	for range 4 {
		m.Reboot()
		commit(t, s, m, e, nil)
	}
	if got := search(t, s, rest.MeasurementQuery{Path: []byte("/bin/a")}); got != nil {
		t.Errorf("after five boots %q", got)
	}
	if _, err := s.Delete(t.Context(), verifiertest.AgentID); err != nil {
		t.Fatal(err)
	}
	if got := search(t, s, rest.MeasurementQuery{Path: []byte(ima.BootAggregate)}); got != nil {
		t.Errorf("of a machine that is gone %q", got)
	}
}

// I04: an answer is bounded.
func TestI04_SearchIsBounded(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	e := enrol(t, s, m, "")
	for range rest.MaxMeasurements + 5 {
		m.File("/bin/a", good)
	}
	commit(t, s, m, e, nil)
	if got := search(t, s, rest.MeasurementQuery{Path: []byte("/bin/a")}); len(got) != rest.MaxMeasurements+1 || got[rest.MaxMeasurements] != "more" {
		t.Errorf("%d found", len(got))
	}
}
