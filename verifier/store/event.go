package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"

	"quicklime/wire/rest"
)

const selectEvent = `SELECT seq, event.id, kind, agent, label, epoch, was, trust, body, severity, peer, at, coalesce(notice, 0) FROM event`

// Events returns the events after a sequence number, at most limit, the oldest
// first, and the number of the newest there is.
func (s *Store) Events(ctx context.Context, after int64, limit int) (all []rest.Event, last int64, err error) {
	if err := s.db.Read().QueryRowContext(ctx, `SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'event'`).Scan(&last); err != nil {
		return nil, 0, err
	}
	all, err = s.events(ctx, ` WHERE seq > ? ORDER BY seq LIMIT ?`, after, limit)
	return all, last, err
}

// LastEvents returns the newest events, at most limit, the oldest of them first.
func (s *Store) LastEvents(ctx context.Context, limit int) ([]rest.Event, error) {
	return s.events(ctx, ` WHERE seq IN (SELECT seq FROM event ORDER BY seq DESC LIMIT ?) ORDER BY seq`, limit)
}

// Notices returns the events that are notices with numbers above after, at most
// limit, the oldest first.
func (s *Store) Notices(ctx context.Context, after uint64, limit int) ([]rest.Event, error) {
	return s.events(ctx, ` WHERE notice > ? ORDER BY notice LIMIT ?`, int64(after), limit)
}

// NoticeBefore returns the number of the oldest of the last count notices up to a
// number, 0 if there are not so many.
func (s *Store) NoticeBefore(ctx context.Context, last uint64, count int) (number uint64, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT notice FROM event WHERE notice <= ? ORDER BY notice DESC LIMIT 1 OFFSET ?`, int64(last), count-1).Scan(&number)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return number, err
}

// LastNotice returns the number of the newest notice, 0 if there was none.
func (s *Store) LastNotice(ctx context.Context) (last uint64, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT last FROM notices`).Scan(&last)
	return last, err
}

// NoticeLimit returns up to which notice an agent may be told: to the newest if it is
// trusted, else to the newest that is about itself.
func (s *Store) NoticeLimit(ctx context.Context, e Enrolment) (limit uint64, err error) {
	now, err := s.Now(ctx)
	if err != nil {
		return 0, err
	}
	err = s.db.Read().QueryRowContext(ctx, `SELECT CASE
			WHEN told.trust = 'trusted' AND trusted_until > ?2 AND trusted_until <= ?2 + trusted_for THEN (SELECT last FROM notices)
			ELSE coalesce((SELECT max(notice) FROM event WHERE event.agent = told.agent), 0) END
		FROM state JOIN told ON told.agent = ?3 WHERE state.enrolment = ?1`, e.ID, millis(now), e.Agent).Scan(&limit)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil // nothing was found out about it yet
	}
	return limit, err
}

// FirstNotice returns the number of the newest notice that was there before an
// enrolment began: those after it concern the agent.
func (s *Store) FirstNotice(ctx context.Context, e Enrolment) (last uint64, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT notice FROM event WHERE notice IS NOT NULL
		AND at <= (SELECT enrolled_at FROM enrolment WHERE id = ?) ORDER BY notice DESC LIMIT 1`, e.ID).Scan(&last)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return last, err
}

// RaiseNotices has notices numbered on from last, if they are not beyond it. It
// reports whether they were not: the database is of a backup that is older than a
// notice that was sent.
func (s *Store) RaiseNotices(ctx context.Context, last uint64) (raised bool, err error) {
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		r, err := tx.Exec(`UPDATE notices SET last = ?1 WHERE last < ?1`, int64(last))
		if err != nil {
			return err
		}
		n, err := r.RowsAffected()
		raised = n > 0
		s.emitted = s.emitted || raised
		return err
	})
	return raised, err
}

func (s *Store) events(ctx context.Context, where string, args ...any) ([]rest.Event, error) {
	rows, err := s.db.Read().QueryContext(ctx, selectEvent+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := []rest.Event{} // an empty list is none in JSON, not null
	for rows.Next() {
		e, err := s.scanEvent(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, rows.Err()
}

func (s *Store) scanEvent(rows *sql.Rows, more ...any) (e rest.Event, err error) {
	var epoch, body []byte
	var at int64
	into := []any{&e.Sequence, &e.ID, &e.Kind, &e.Agent, &e.Label, &epoch, &e.Was, &e.Trust, &body, &e.Severity, &e.Peer, &at, &e.Notice}
	if err := rows.Scan(append(into, more...)...); err != nil {
		return e, err
	}
	e.Epoch, e.At, e.Failure = hex.EncodeToString(epoch), fromMillis(at), s.failureOf(body, e.Severity)
	return e, nil
}
