package store

import (
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"quicklime/wire"
	"quicklime/wire/sqlite"
)

// Routing says which events go where. All are recorded.
type Routing struct {
	Notices  []wire.EventKind            // to agents
	Webhooks map[string][]wire.EventKind // by the webhook's name
}

// Route has events that happen from now on go where r says. It is to be called
// before Run.
func (s *Store) Route(r Routing) { s.routing = r }

// settle is the end of every write: it records the events that the write makes, so
// that no change of trust is on disk without its event. Nobody who writes has to
// think of it, because triggers note whose state they changed.
func (s *Store) settle(tx *sql.Tx) error {
	all, err := takeChanged(tx)
	if err != nil || len(all) == 0 {
		return err
	}
	now, err := sqlite.Now(tx)
	if err != nil {
		return err
	}
	for _, c := range all {
		if err := s.tell(tx, c, now); err != nil {
			return err
		}
	}
	return nil
}

// change is a mark that a trigger made.
type change struct {
	agent string
	label sql.NullString // of an enrolment that ended; NULL: none did
	epoch []byte
	peer  sql.NullString
}

// removeChanged takes the marks away. It says of each whether there is nothing to
// tell: others know that the agent is trusted, and nothing stands against it that is
// judged. That is so of almost every write, and costs one statement.
const removeChanged = `DELETE FROM changed RETURNING agent, label, epoch, peer, label IS NULL AND EXISTS (
	SELECT 1 FROM enrolment JOIN state ON state.enrolment = enrolment.id JOIN told ON told.agent = enrolment.agent
	WHERE enrolment.agent = changed.agent AND told.trust = 'trusted' AND severity IS NULL AND state.epoch IS NOT NULL
		AND judged NOT IN ('', '` + wire.NotEvaluated + `') AND trusted_until > unixepoch('now', 'subsec') * 1000
		AND trusted_until <= unixepoch('now', 'subsec') * 1000 + trusted_for)`

// takeChanged takes the marks away and returns those of which there may be something
// to tell, by agent.
func takeChanged(tx *sql.Tx) (all []change, err error) {
	rows, err := tx.Query(removeChanged)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c change
		var same bool
		if err := rows.Scan(&c.agent, &c.label, &c.epoch, &c.peer, &same); err != nil {
			return nil, err
		}
		if !same {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b change) int { return strings.Compare(a.agent, b.agent) })
	return all, rows.Err()
}

// told is a row of that table. The zero row is of an agent that nobody heard of.
type told struct {
	trust       wire.Trust
	lost        bool
	until, span int64
	raisedAt    int64
}

// relied reports whether others took the agent for trusted until they were told
// something else, or do.
func (t told) relied() bool { return t.trust == wire.Trusted || t.trust == wire.Stale && t.lost }

func toldOf(tx *sql.Tx, agent string) (t told, err error) {
	err = tx.QueryRow(`SELECT trust, lost, until, span, raised_at FROM told WHERE agent = ?`, agent).Scan(&t.trust, &t.lost, &t.until, &t.span, &t.raisedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return told{trust: wire.Pending}, nil
	}
	return t, err
}

// tell records what is to be told of an agent: that an enrolment of it ended, and
// then how the one in force stands. A state that cannot be read changes nothing
// (I10): whoever reads it for its agent says so.
func (s *Store) tell(tx *sql.Tx, c change, now time.Time) error {
	before, err := toldOf(tx, c.agent)
	if err != nil {
		return err
	}
	was := before
	if c.label.Valid {
		if before, err = s.end(tx, c, before, now); err != nil {
			return err
		}
	}
	after, err := s.stand(tx, c.agent, before, now)
	if err != nil || after == was {
		return err
	}
	_, err = tx.Exec(`INSERT INTO told (agent, trust, lost, until, span, raised_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
		ON CONFLICT DO UPDATE SET trust = ?2, lost = ?3, until = ?4, span = ?5, raised_at = ?6`,
		c.agent, after.trust, after.lost, after.until, after.span, after.raisedAt)
	return err
}

// end tells that an enrolment ended.
func (s *Store) end(tx *sql.Tx, c change, before told, now time.Time) (told, error) {
	after := told{trust: wire.Removed, lost: before.lost || before.trust == wire.Trusted}
	if before.trust != wire.Trusted {
		return after, nil
	}
	return after, s.record(tx, event{kind: wire.EventRemoved, agent: c.agent, label: c.label.String, epoch: c.epoch,
		was: before.trust, trust: wire.Removed, peer: c.peer.String}, now)
}

// stand tells how the enrolment in force stands, if there is one.
func (s *Store) stand(tx *sql.Tx, agent string, before told, now time.Time) (told, error) {
	r, err := s.scanRow(tx.QueryRow(selectAgent+` WHERE agent = ?`, agent), now)
	if err != nil {
		return before, nil
	}
	var raised int64
	if r.RaisedAt != nil {
		raised = millis(*r.RaisedAt)
	}
	lapsed := r.Trust == wire.Pending && before.trust == wire.Trusted && r.until.Int64 <= millis(now)
	if r.Trust == wire.Untrusted && r.decisive == 0 && !before.relied() {
		return before, nil // it only waits for something, and nobody takes it for trusted
	}
	kind := kindOf(before, r.Trust, lapsed, raised > before.raisedAt)
	after := before
	if r.Trust != wire.Pending || before.trust == wire.Removed {
		after.trust, after.until, after.span = r.Trust, r.until.Int64, r.span.Int64
	}
	if lapsed {
		after.trust = wire.Stale
	}
	if r.Trust == wire.Trusted || r.Trust == wire.Untrusted {
		after.raisedAt = raised
	}
	switch kind {
	case "":
		return after, nil
	case wire.EventRegained:
		after.lost = false
	case wire.EventLost, wire.EventStale:
		after.lost = true
	}
	e := event{kind: kind, agent: agent, label: r.Label, epoch: r.epoch, was: before.trust, trust: r.Trust}
	if err := s.reason(tx, &e); err != nil {
		return before, err
	}
	return after, s.record(tx, e, now)
}

// kindOf says what kind of event it is that an agent, of which others were told
// before, stands at is now; "": none. While a list is judged again under another
// policy nobody is told anything, unless trust lapses meanwhile.
func kindOf(before told, is wire.Trust, lapsed, raised bool) wire.EventKind {
	was := before.trust
	switch {
	case is == wire.Untrusted && was != wire.Untrusted, is == wire.Unjudged && was == wire.Trusted:
		return wire.EventLost
	case is == wire.Stale && was == wire.Trusted, lapsed:
		return wire.EventStale
	case is == wire.Trusted && before.lost:
		return wire.EventRegained
	case is == wire.Trusted && raised:
		return wire.EventRaised
	}
	return ""
}

// event is a row of that table on its way.
type event struct {
	kind         wire.EventKind
	agent, label string
	epoch        []byte
	was, trust   wire.Trust
	failure      wire.FailureID
	body         []byte
	severity     string
	peer         string
}

// reason fills in what stands against the agent: of what is gravest the newest. A
// condition comes after a failure.
func (s *Store) reason(tx *sql.Tx, e *event) error {
	var below int
	err := tx.QueryRow(`SELECT id, body, below FROM (
			SELECT failure.id, body, below, last_at, seq FROM failure JOIN enrolment ON enrolment.id = failure.enrolment WHERE agent = ?1 AND cleared_at IS NULL
			UNION ALL SELECT condition.id, body, below, 0, 0 FROM condition JOIN enrolment ON enrolment.id = condition.enrolment WHERE agent = ?1)
		ORDER BY below, last_at DESC, seq DESC LIMIT 1`, e.agent).Scan(&e.failure, &e.body, &below)
	switch {
	case err == nil:
		e.severity = s.severity.Name(below)
	case !errors.Is(err, sql.ErrNoRows):
		return err
	}
	return tx.QueryRow(`SELECT session_peer FROM state JOIN enrolment ON enrolment.id = state.enrolment WHERE agent = ?`, e.agent).Scan(&e.peer)
}

// record writes an event and, for each webhook that takes its kind, a delivery.
func (s *Store) record(tx *sql.Tx, e event, now time.Time) error {
	var notice sql.NullInt64
	if slices.Contains(s.routing.Notices, e.kind) {
		notice.Valid = true
		if err := tx.QueryRow(`UPDATE notices SET last = last + 1 RETURNING last`).Scan(&notice.Int64); err != nil {
			return err
		}
	}
	var id [16]byte
	rand.Read(id[:])
	var seq int64
	err := tx.QueryRow(`INSERT INTO event (id, kind, agent, label, epoch, was, trust, failure, body, severity, peer, at, notice)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING seq`, hex.EncodeToString(id[:]), e.kind, e.agent, e.label, orNone(e.epoch),
		e.was, e.trust, e.failure, orNone(e.body), e.severity, e.peer, millis(now), notice).Scan(&seq)
	if err != nil {
		return err
	}
	for name, kinds := range s.routing.Webhooks {
		if !slices.Contains(kinds, e.kind) {
			continue
		}
		if _, err := tx.Exec(`INSERT INTO delivery (event, webhook, next_at) VALUES (?, ?, ?)`, seq, name, millis(now)); err != nil {
			return err
		}
	}
	s.emitted = true
	return nil
}

// orNone is b, or no bytes where NULL would be.
func orNone(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// happened wakes those who wait for events once they are on disk.
func (s *Store) happened() {
	if s.emitted {
		s.emitted = false
		s.changes.announce(eventsKey)
	}
}

// eventsKey is no agent id and no SPKI hash.
const eventsKey = "events"

// Happened returns a channel that closes when this process records the next event,
// and a function that ends the wait, to be called once. Read the events after the
// call, not before. Another process's are found by looking.
func (s *Store) Happened() (<-chan struct{}, func()) { return s.changes.wait(eventsKey) }

// failureOf reads the body of an event; a body that cannot be read is shown as one
// (I10).
func (s *Store) failureOf(body []byte, severity string) *wire.Failure {
	if len(body) == 0 {
		return nil
	}
	var f wire.Failure
	if err := json.Unmarshal(body, &f); err != nil {
		f = wire.Failure{ID: wire.RecordUnreadable, Message: "the verifier cannot read its record of this failure: " + err.Error()}
	}
	f.Severity = severity
	return &f
}
