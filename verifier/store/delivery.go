package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"quicklime/wire/rest"
	"quicklime/wire/sqlite"
)

// Delivery is an event on its way to a webhook, claimed by whoever has it.
type Delivery struct {
	Webhook string
	Event   rest.Event
	Tries   int // before this one

	TPMPolicy string // Keylime's tpm_policy that the agent has now; "": none, or it is not enrolled any more
}

// Claim takes the oldest delivery to a webhook that is due, which nobody else is
// then given for the time of a claim, and returns it. If there is none, next is
// when the first will be due; zero: none waits. A claim that is neither Delivered
// nor Failed, because its process ended, is due again when it ends.
func (s *Store) Claim(ctx context.Context, webhook string, claim time.Duration) (d Delivery, next time.Time, found bool, err error) {
	if next, found, err = s.due(ctx, webhook); err != nil || !found {
		return d, next, false, err
	}
	var event int64
	d.Webhook = webhook
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		now, err := sqlite.Now(tx)
		if err != nil {
			return err
		}
		return tx.QueryRow(`UPDATE delivery SET next_at = ?3, tries = tries + 1 WHERE webhook = ?1 AND event =
				(SELECT event FROM delivery WHERE webhook = ?1 AND dead_at IS NULL AND next_at <= ?2 ORDER BY event LIMIT 1)
			RETURNING event, tries - 1`, webhook, millis(now), millis(now.Add(claim))).Scan(&event, &d.Tries)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return d, time.Time{}, false, nil // another process was quicker
	}
	if err != nil {
		return d, time.Time{}, false, err
	}
	all, err := s.events(ctx, ` WHERE seq = ?`, event)
	if err != nil || len(all) == 0 {
		return d, time.Time{}, false, err // it was past keeping
	}
	d.Event = all[0]
	d.TPMPolicy, err = s.tpmPolicyOf(ctx, d.Event.Agent)
	return d, time.Time{}, err == nil, err
}

func (s *Store) tpmPolicyOf(ctx context.Context, agent string) (text string, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT CAST(coalesce(pcr_policy, '') AS TEXT) FROM state JOIN enrolment ON enrolment.id = state.enrolment WHERE agent = ?`, agent).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return text, err
}

// due reports whether a delivery to a webhook is due now, or else when the first
// will be; zero: none waits.
func (s *Store) due(ctx context.Context, webhook string) (next time.Time, now bool, err error) {
	clock, err := s.Now(ctx)
	if err != nil {
		return next, false, err
	}
	var first sql.NullInt64
	err = s.db.Read().QueryRowContext(ctx, `SELECT min(next_at) FROM delivery WHERE webhook = ? AND dead_at IS NULL`, webhook).Scan(&first)
	if err != nil || !first.Valid {
		return next, false, err
	}
	return fromMillis(first.Int64), first.Int64 <= millis(clock), nil
}

// Delivered ends a delivery that the webhook took.
func (s *Store) Delivered(ctx context.Context, d Delivery) error {
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec(`DELETE FROM delivery WHERE webhook = ? AND event = ?`, d.Webhook, d.Event.Sequence)
		return err
	})
}

// Failed has a delivery tried again after a while, or gives it up for good.
func (s *Store) Failed(ctx context.Context, d Delivery, problem string, again time.Duration, giveUp bool) error {
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		now, err := sqlite.Now(tx)
		if err != nil {
			return err
		}
		var dead any // NULL
		if giveUp {
			dead = millis(now)
		}
		_, err = tx.Exec(`UPDATE delivery SET next_at = ?, dead_at = ?, problem = ? WHERE webhook = ? AND event = ?`,
			millis(now.Add(again)), dead, problem, d.Webhook, d.Event.Sequence)
		return err
	})
}

// Abandon gives up deliveries to webhooks that are not among the routed ones, which
// nobody would ever try, and returns how many there were.
func (s *Store) Abandon(ctx context.Context) (n int64, err error) {
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		now, err := sqlite.Now(tx)
		if err != nil {
			return err
		}
		args := []any{millis(now)}
		for name := range s.routing.Webhooks {
			args = append(args, name)
		}
		r, err := tx.Exec(`UPDATE delivery SET dead_at = ?, problem = 'the webhook is not configured any more'
			WHERE dead_at IS NULL AND webhook NOT IN (`+strings.TrimSuffix(strings.Repeat("?,", len(args)-1), ",")+`)`, args...)
		if err != nil {
			return err
		}
		n, err = r.RowsAffected()
		return err
	})
	return n, err
}

// DeadLetters returns deliveries that were given up, the oldest events first.
func (s *Store) DeadLetters(ctx context.Context) (l rest.DeadLetterList, err error) {
	l.DeadLetters = []rest.DeadLetter{} // an empty list is none in JSON, not null
	if err := s.db.Read().QueryRowContext(ctx, `SELECT count(*) FROM delivery WHERE dead_at IS NULL`).Scan(&l.Waiting); err != nil {
		return l, err
	}
	rows, err := s.db.Read().QueryContext(ctx, strings.Replace(selectEvent, " FROM event", `, webhook, tries, dead_at, problem FROM event
		JOIN delivery ON delivery.event = seq WHERE dead_at IS NOT NULL ORDER BY seq, webhook LIMIT ?`, 1), rest.MaxEvents+1)
	if err != nil {
		return l, err
	}
	defer rows.Close()
	for rows.Next() {
		var d rest.DeadLetter
		var dead int64
		if d.Event, err = s.scanEvent(rows, &d.Webhook, &d.Tries, &dead, &d.Problem); err != nil {
			return l, err
		}
		d.DeadAt = fromMillis(dead)
		l.DeadLetters = append(l.DeadLetters, d)
	}
	if l.More = len(l.DeadLetters) > rest.MaxEvents; l.More {
		l.DeadLetters = l.DeadLetters[:rest.MaxEvents]
	}
	return l, rows.Err()
}

// Webhooks returns the names of those that events go to now, in order, and whether the
// one with that name has dead letters.
func (s *Store) Webhooks(ctx context.Context, name string) (configured []string, dead bool, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM delivery WHERE webhook = ? AND dead_at IS NOT NULL)`, name).Scan(&dead)
	return slices.Sorted(maps.Keys(s.routing.Webhooks)), dead, err
}

// HasEvent reports whether an event with that id is kept.
func (s *Store) HasEvent(ctx context.Context, id string) (has bool, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM event WHERE id = ?)`, id).Scan(&has)
	return has, err
}

// RetryDeadLetters has dead letters tried again, at once and as if for the first
// time, and returns how many. Those of webhooks that are not configured stay dead, for
// nobody would try them.
func (s *Store) RetryDeadLetters(ctx context.Context, q rest.DeadLetterRequest) (int, error) {
	configured, err := json.Marshal(slices.Collect(maps.Keys(s.routing.Webhooks)))
	if err != nil {
		return 0, err
	}
	n, err := s.changeDead(ctx, `UPDATE delivery SET dead_at = NULL, tries = 0, next_at = 0 WHERE webhook IN (SELECT value FROM json_each(?3)) AND `, q, string(configured))
	if err == nil {
		s.changes.announce(eventsKey)
	}
	return n, err
}

// DropDeadLetters forgets dead letters and returns how many. Their events stay.
func (s *Store) DropDeadLetters(ctx context.Context, q rest.DeadLetterRequest) (int, error) {
	return s.changeDead(ctx, `DELETE FROM delivery WHERE `, q)
}

func (s *Store) changeDead(ctx context.Context, change string, q rest.DeadLetterRequest, more ...any) (int, error) {
	var n int64
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		r, err := tx.Exec(change+`dead_at IS NOT NULL AND (?1 = '' OR webhook = ?1)
			AND (?2 = '' OR event = (SELECT seq FROM event WHERE event.id = ?2))`, append([]any{q.Webhook, q.Event}, more...)...)
		if err != nil {
			return fmt.Errorf("dead letters: %w", err)
		}
		n, err = r.RowsAffected()
		return err
	})
	return int(n), err
}
