package store

import (
	"context"
	"database/sql"
	"time"

	"quicklime/wire/payload"
	"quicklime/wire/rest"
)

const (
	payloadColumns = `name, version, payload.rev, manifest, size, received, complete, expires_at, added_at, released_at, released_count,
	refused_at, coalesce(refused_reason, ''), receipt, receipt_at, withdrawn_at`

	selectPayload = `SELECT ` + payloadColumns + ` FROM payload JOIN enrolment ON enrolment.id = enrolment WHERE agent = ?`
)

// ListPayloads returns an agent's payloads, those that are withdrawn among them, by
// name and version. A row that cannot be read is counted and left out (I10).
func (s *Store) ListPayloads(ctx context.Context, agent string) (rest.PayloadList, error) {
	list := rest.PayloadList{Payloads: []rest.Payload{}}
	rows, err := s.db.Read().QueryContext(ctx, selectPayload+` ORDER BY name, version`, agent)
	if err != nil {
		return list, err
	}
	defer rows.Close()
	for rows.Next() {
		p, err := scanPayload(rows)
		if err != nil {
			list.Unreadable++
			continue
		}
		list.Payloads = append(list.Payloads, p)
	}
	if err := rows.Err(); err != nil {
		return list, err
	}
	list.Floor, err = payloadFloor(s.db.Read().QueryRowContext(ctx, `SELECT version FROM payload_floor JOIN enrolment ON enrolment.id = enrolment WHERE agent = ?`, agent))
	return list, err
}

// ListAllPayloads is ListPayloads of all agents whose ids are greater than after, the
// least first. What was forgotten it does not tell.
func (s *Store) ListAllPayloads(ctx context.Context, after string) (rest.AllPayloads, error) {
	return s.listAllPayloads(ctx, after, listedPayloads)
}

// listAllPayloads ends with the agent with which there are enough.
func (s *Store) listAllPayloads(ctx context.Context, after string, enough int) (rest.AllPayloads, error) {
	all := rest.AllPayloads{Agents: []rest.AgentPayloads{}}
	// The join is in this order, so that nothing is read that is not listed.
	rows, err := s.db.Read().QueryContext(ctx, `SELECT agent, label, `+payloadColumns+`
		FROM enrolment CROSS JOIN payload ON enrolment.id = payload.enrolment JOIN state ON enrolment.id = state.enrolment
		WHERE agent > ? ORDER BY agent, name, version`, after)
	if err != nil {
		return all, err
	}
	defer rows.Close()
	for count := 0; rows.Next(); count++ {
		var agent, label string
		p, err := scanPayload(behind{rows, []any{&agent, &label}})
		last := len(all.Agents) - 1
		if last < 0 || all.Agents[last].Agent != agent {
			if count >= enough {
				all.Next = all.Agents[last].Agent
				break
			}
			all.Agents = append(all.Agents, rest.AgentPayloads{Agent: agent, Label: label, PayloadList: rest.PayloadList{Payloads: []rest.Payload{}}})
			last++
		}
		if err != nil {
			all.Agents[last].Unreadable++
			continue
		}
		all.Agents[last].Payloads = append(all.Agents[last].Payloads, p)
	}
	return all, rows.Err()
}

// behind is a row whose first columns go where first says.
type behind struct {
	rows  *sql.Rows
	first []any
}

func (b behind) Scan(to ...any) error { return b.rows.Scan(append(b.first, to...)...) }

// Payload returns the newest version of an agent's payload, or ErrNotFound.
func (s *Store) Payload(ctx context.Context, agent, name string) (rest.Payload, error) {
	p, err := scanPayload(s.db.Read().QueryRowContext(ctx, selectPayload+` AND name = ? ORDER BY version DESC LIMIT 1`, agent, name))
	return p, notFound(err)
}

func scanPayload(row interface{ Scan(...any) error }) (p rest.Payload, err error) {
	var manifest []byte
	var expires, added int64
	var released, refused, receipt, withdrawn sql.NullInt64
	if err := row.Scan(&p.Name, &p.Version, &p.Revision, &manifest, &p.Sealed, &p.Received, &p.Complete, &expires, &added, &released, &p.Releases,
		&refused, &p.Refusal, &p.Receipt, &receipt, &withdrawn); err != nil {
		return p, err
	}
	m, err := payload.Read(manifest)
	if err != nil {
		return p, err
	}
	p.Kind, p.File, p.Size = string(m.Kind), m.File, m.Size
	p.ExpiresAt, p.AddedAt = fromMillis(expires), fromMillis(added)
	for from, to := range map[*sql.NullInt64]**time.Time{&released: &p.ReleasedAt, &refused: &p.RefusedAt, &receipt: &p.ReceiptAt, &withdrawn: &p.WithdrawnAt} {
		if from.Valid {
			at := fromMillis(from.Int64)
			*to = &at
		}
	}
	return p, nil
}
