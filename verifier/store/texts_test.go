package store

import (
	"slices"
	"testing"
)

// Policies of schema 14, whose texts stood before other columns, are what they were,
// and no column stands behind a text now.
func TestTextsOfPoliciesAreLast(t *testing.T) {
	s := openOlder(t, 14,
		`INSERT INTO policy (name, digest, text, paths, excludes, unknown, updated_at, envelope, signers)
			VALUES ('signed', 'd', x'7b7d', 3, 4, '["u"]', 5, x'7b', '[{"key_id":"k"}]'), ('plain', 'e', x'7b7d', 0, 0, 'null', 6, NULL, '[]')`,
		`INSERT INTO boot_policy (name, digest, text, kernels, firmwares, secure_boot, unknown, updated_at, envelope, signers)
			VALUES ('boot', 'f', x'7b7d', 1, 2, 1, 'null', 7, x'7b', '[{"key_id":"k"}]')`,
		`INSERT INTO enrolment (id, agent, ek, ak, transport, spki, lowest_bank, enrolled_at) VALUES (1, 'a', x'', x'', x'', x'', 11, 0)`,
		`INSERT INTO state (enrolment, label, judged, epoch, trusted_until, severity, policy, boot_policy) VALUES (1, '', '', x'01', 0, 0, 'signed', 'boot')`,
	)
	signed, err := s.RuntimePolicies.Signed(t.Context(), "signed")
	if err != nil || signed.Text != "{}" || signed.Envelope != "{" || signed.Digest != "d" || signed.Paths != 3 || signed.Excludes != 4 || signed.Unknown[0] != "u" || signed.SignedBy[0].KeyID != "k" || signed.Agents != 1 {
		t.Errorf("%+v, %v", signed, err)
	}
	if p, err := s.RuntimePolicies.Signed(t.Context(), "plain"); err != nil || p.Text != "{}" || p.Envelope != "" || len(p.SignedBy) > 0 {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := s.BootPolicies.Signed(t.Context(), "boot"); err != nil || p.Text != "{}" || p.Envelope != "{" || p.Kernels != 1 || p.Firmwares != 2 || !p.SecureBoot || p.SignedBy[0].KeyID != "k" || p.Agents != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	for _, table := range []string{"policy", "boot_policy"} {
		rows, err := s.db.Read().QueryContext(t.Context(), `SELECT name FROM pragma_table_info(?) ORDER BY cid`, table)
		if err != nil {
			t.Fatal(err)
		}
		var columns []string
		for rows.Next() {
			var c string
			if err := rows.Scan(&c); err != nil {
				t.Fatal(err)
			}
			columns = append(columns, c)
		}
		if err := rows.Err(); err != nil || len(columns) < 9 || !slices.Equal(columns[len(columns)-2:], []string{"text", "envelope"}) {
			t.Errorf("%s has the columns %v: what is behind a text is read through all of it; %v", table, columns, err)
		}
	}
}
