package api

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/wire/rest"
)

func TestListEvents(t *testing.T) {
	m := newMemory()
	h := serve(t, m, rest.RoleOperator)
	for _, tt := range []struct {
		query  string
		want   int64
		waited bool
	}{
		{"", 7, false},
		{"?after=0", 1, false},
		{"?after=41", 42, false},
		{"?after=41&wait=1", 42, true},
	} {
		m.waited = false
		l := decode[rest.EventList](t, call(t, h, "GET", "/v1/events"+tt.query, nil), 200)
		if len(l.Events) != 1 || l.Events[0].Sequence != tt.want || m.waited != tt.waited {
			t.Errorf("%q: %+v, waited %v", tt.query, l, m.waited)
		}
	}
	for _, bad := range []string{"-1", "x", "9223372036854775808"} {
		if e := errorOf(t, call(t, h, "GET", "/v1/events?after="+bad, nil)); e.Code != rest.CodeBadRequest || e.Hint == "" {
			t.Errorf("after=%s: %+v", bad, e)
		}
	}
}

// I03: ids and names in requests have their grammar.
func TestI03_DeadLetterRequests(t *testing.T) {
	m := newMemory()
	h := serve(t, m, rest.RoleOperator)
	id := strings.Repeat("0a", 16)
	all := []rest.DeadLetterRequest{{}, {Webhook: "siem"}, {Event: id}}
	for _, q := range all {
		if c := decode[rest.DeadLetterCount](t, call(t, h, "POST", "/v1/dead-letters/retry", q), 200); c.Count != 1 {
			t.Errorf("%+v", c)
		}
	}
	if c := decode[rest.DeadLetterCount](t, call(t, h, "POST", "/v1/dead-letters/drop", all[1]), 200); c.Count != 2 {
		t.Errorf("%+v", c)
	}
	if diff := cmp.Diff(append(all, all[1]), m.dead); diff != "" {
		t.Error(diff)
	}
	for _, q := range []rest.DeadLetterRequest{{Webhook: "../x"}, {Event: id[1:]}, {Event: strings.ToUpper(id)}} {
		if e := errorOf(t, call(t, h, "POST", "/v1/dead-letters/drop", q)); e.Code != rest.CodeBadRequest {
			t.Errorf("%+v: %+v", q, e)
		}
	}
}
