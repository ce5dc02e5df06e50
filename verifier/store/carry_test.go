package store

import (
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"path/filepath"
	"reflect"
	"testing"
	"testing/fstest"

	"github.com/fxamacker/cbor/v2"

	"quicklime/ima"
	"quicklime/verifier/appraise"
	"quicklime/verifier/policy"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/sqlite"
)

// schema3 is what the database was before its entries were in blocks.
func schema3(t *testing.T) fstest.MapFS {
	dir := fstest.MapFS{}
	for _, name := range []string{"0001_spine.sql", "0002_hardening.sql", "0003_judging.sql"} {
		b, err := migrations.ReadFile("migrations/" + name)
		if err != nil {
			t.Fatal(err)
		}
		dir[name] = &fstest.MapFile{Data: b}
	}
	return dir
}

// old is a database of schema 3 with one machine.
type old struct {
	t    *testing.T
	path string
	e    Enrolment
	list []ima.Entry
	want appraise.Outcome
}

// newOld has a machine attest whose entries are of two templates, and one of them a
// violation, and keeps them as the program of schema 3 did.
func newOld(t *testing.T, p *policy.Policy) *old {
	m := verifiertest.New(t)
	for i, f := range files(0, 2500) {
		if i%2 == 0 {
			f.Template = []byte("ima-sig")
			f.Data = append(f.Data, 0, 0, 0, 0)
		}
		m.Measure(f)
	}
	m.Measure(verifiertest.Violation("/bin/b"))
	m.File("/bin/a", pcr.SHA256.Sum([]byte("a")))
	m.Measure(m.List[5]) // once more
	ev, list := m.Evidence(0)
	b, err := appraise.Begin(m.Standing(), verifiertest.Question(), ev)
	if err != nil {
		t.Fatal(err)
	}
	var a appraise.Appraisal
	a.Begin(b, p)
	a.Write(list)
	o := &old{t: t, path: filepath.Join(t.TempDir(), "verifier.db"), e: Enrolment{ID: 1, Agent: verifiertest.AgentID, AK: m.AK.Public}, list: m.List, want: a.Outcome(b)}
	if !o.want.Accepted || len(o.want.Result.Failures) == 0 {
		t.Fatalf("%+v", o.want.Result)
	}
	db, err := sqlite.Open(o.path, schema3(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	proof, err := cbor.Marshal(Evidence{ev.Envelope, ev.PCRs, verifiertest.Question()})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", o.path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	tx, err := raw.Begin()
	if err != nil {
		t.Fatal(err)
	}
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := tx.Exec(query, args...); err != nil {
			t.Fatal(err)
		}
	}
	r := o.want.Certified.Replayed()
	id, epoch, to := b.Epoch().ID(1), b.Epoch(), r.To()
	exec(`INSERT INTO enrolment VALUES (1, ?, x'', ?, x'', x'00', 11, 0)`, verifiertest.AgentID, m.AK.Public.Bytes())
	exec(`INSERT INTO state (enrolment, label, judged, epoch, reset_count, restart_count, boot, bank, entries, pcr, clock, evidence, attested_at)
		VALUES (1, 'box', ?, ?, ?, ?, ?, 11, ?, ?, 1, ?, 1700000000000)`,
		wire.NotEvaluated, id[:], epoch.Counters.Reset, epoch.Counters.Restart, epoch.Boot[:], len(m.List), to.PCR(), proof)
	ids := map[string]int64{}
	for at := 0; at < len(m.List); at += 2000 {
		part := m.List[at:min(at+2000, len(m.List))]
		var sequence []byte
		var last int64
		for _, e := range part {
			raw := e.AppendTo(nil)
			n := ids[string(raw)]
			if n == 0 {
				n = int64(3*len(ids) + 1)
				ids[string(raw)] = n
				sum := sha256.Sum256(raw)
				exec(`INSERT INTO entry VALUES (?, ?, ?)`, n, sum[:], raw)
			}
			sequence = binary.AppendVarint(sequence, n-last)
			last = n
		}
		exec(`INSERT INTO segment VALUES (1, ?, ?, ?, ?)`, id[:], at, len(part), sequence)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *old) exec(query string) {
	o.t.Helper()
	db, err := sql.Open("sqlite", o.path)
	if err != nil {
		o.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(query); err != nil {
		o.t.Fatal(err)
	}
}

// again judges the list as it is stored now.
func (o *old) again(p *policy.Policy) (appraise.Outcome, error) {
	s := runStore(o.t, o.path)
	st, err := s.Standing(o.t.Context(), o.e)
	if err != nil {
		o.t.Fatal(err)
	}
	proof, err := s.Proof(o.t.Context(), o.e)
	if err != nil {
		o.t.Fatal(err)
	}
	fresh := appraise.Standing{Enrolment: o.e.ID, AgentID: o.e.Agent, AK: o.e.AK}
	b, err := appraise.Begin(fresh, proof.Question, wire.Evidence{Envelope: proof.Envelope, PCRs: proof.PCRs, IMA: wire.Span{Count: st.Resume.Entries()}})
	if err != nil {
		o.t.Fatal(err)
	}
	var a appraise.Appraisal
	a.Begin(b, p)
	err = s.Visit(o.t.Context(), st, &a)
	return a.Outcome(b), err
}

func allowA(t *testing.T) *policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte(`{"meta":{"version":1},"digests":{"/bin/a":["ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// I22: what a database of schema 3 has of a list is judged the same after it was
// carried over.
func TestI22_EntriesOfSchema3AreJudgedTheSame(t *testing.T) {
	p := allowA(t)
	o := newOld(t, p)
	got, err := o.again(p)
	if err != nil || !got.Accepted || !reflect.DeepEqual(got.Result.Failures, o.want.Result.Failures) || got.Result.Entries != o.want.Result.Entries {
		t.Errorf("accepted %v with %d failures, want %d: %v", got.Accepted, len(got.Result.Failures), len(o.want.Result.Failures), err)
	}
}

// I10: what could not be read of it before is an error after, and never a shorter list.
func TestI10_DamageOfSchema3StaysDamage(t *testing.T) {
	for _, damage := range []string{
		`UPDATE entry SET bytes = x'00' WHERE id = 10`,
		`UPDATE entry SET bytes = CAST(bytes || x'00' AS BLOB) WHERE id = 10`,
		`DELETE FROM entry WHERE id = 10`,
		`UPDATE segment SET entries = x'ff' WHERE first = 2000`,
		`UPDATE segment SET entries = x'02' WHERE first = 2000`,
	} {
		p := allowA(t)
		o := newOld(t, p)
		o.exec(damage)
		if got, err := o.again(p); err == nil {
			t.Errorf("%s: no error, accepted %v", damage, got.Accepted)
		}
	}
}
