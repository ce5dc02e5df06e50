package store

import (
	"slices"
	"testing"

	"quicklime/wire"
)

// I07: what stood against a machine before failures had parts stands after.
func TestI07_FailuresOfSchema7Stand(t *testing.T) {
	s := openOlder(t, 7,
		`INSERT INTO enrolment (id, agent, ek, ak, transport, spki, lowest_bank, enrolled_at) VALUES (1, 'a', x'', x'', x'', x'', 11, 0)`,
		`INSERT INTO state (enrolment, label, judged, epoch, trusted_until, severity) VALUES (1, '', 'not evaluated', x'01', 0, 0)`,
		`INSERT INTO failure (seq, enrolment, epoch, entry, id, body, raw, count, first_at, last_at, cleared_at, below, warned)
			VALUES (7, 1, x'01', 3, 'x', CAST('{"id":"x"}' AS BLOB), x'02', 4, 5, 6, NULL, 0, 0), (8, 1, x'01', -1, 'y', CAST('{"id":"y"}' AS BLOB), NULL, 1, 5, 6, 9, 1, 1)`,
		`INSERT INTO condition (enrolment, number, id, body, below) VALUES (1, 0, 'z', CAST('{"id":"z"}' AS BLOB), 0)`,
	)
	failures, _, err := s.Failures(t.Context(), "a")
	if err != nil || len(failures) != 1 || failures[0].ID != "x" {
		t.Errorf("%+v, %v", failures, err)
	}
	conditions, err := s.Conditions(t.Context(), "a")
	if err != nil || len(conditions) != 1 || conditions[0].ID != "z" {
		t.Errorf("%+v, %v", conditions, err)
	}
	a, err := s.Agent(t.Context(), "a")
	if err != nil || a.Trust != wire.Untrusted || a.FailureCount != 1 || a.Policies.Boot != wire.NotEvaluated || a.Policies.TPM != wire.NotEvaluated {
		t.Errorf("%+v, %v", a, err)
	}
	var rows []string
	found, err := s.db.Read().QueryContext(t.Context(), `SELECT seq || part || entry || count || first_at || last_at || coalesce(cleared_at, '-') || below || warned || hex(coalesce(raw, x'')) FROM failure ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	for found.Next() {
		var r string
		if err := found.Scan(&r); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r)
	}
	if want := []string{"73456-0002", "8-1156911"}; !slices.Equal(rows, want) || found.Err() != nil {
		t.Errorf("%q, want %q", rows, want)
	}
}
