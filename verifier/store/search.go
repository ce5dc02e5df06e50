package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"slices"

	"quicklime/ima"
	"quicklime/verifier/appraise"
	"quicklime/wire/rest"
)

// Search returns which machines have measured a path or a digest, in the epoch in
// force and in those of the past that are kept. What a violation says of a file is
// not looked at (I18).
func (s *Store) Search(ctx context.Context, q rest.MeasurementQuery) (rest.MeasurementList, error) {
	f := finder{list: rest.MeasurementList{Measurements: []rest.Measurement{}}}
	if err := f.candidates(ctx, s, q); err != nil || len(f.numbers) == 0 {
		return f.list, err
	}
	err := f.search(ctx, s)
	return f.list, err
}

// finder looks for some entries in all lists.
type finder struct {
	list     rest.MeasurementList
	numbers  []int64 // ascending
	events   []ima.Event
	spans    []int64 // of numbers, ascending
	sequence sequence
}

// candidates finds the entries that are what is looked for.
func (f *finder) candidates(ctx context.Context, s *Store, q rest.MeasurementQuery) error {
	hash := digestHash(q.Digest)
	if q.Path != nil {
		hash = pathHash(q.Path)
	}
	numbers, err := s.indexed(ctx, hash)
	if err != nil {
		return err
	}
	if len(numbers) > maxCandidates {
		numbers, f.list.More = numbers[:maxCandidates], true
	}
	for _, n := range numbers {
		b, err := s.block(ctx, n)
		if err != nil {
			f.list.Unreadable++
			continue
		}
		f.candidate(b, n, q)
	}
	f.spans = slices.Compact(f.spans)
	return ctx.Err()
}

func (f *finder) candidate(b *block, n int64, q rest.MeasurementQuery) {
	i := int(n - b.first)
	k := b.kind(i)
	if k == nil {
		return
	}
	if ev, ok := k.event(b.data(i)); ok && matches(ev, q) {
		f.numbers, f.events, f.spans = append(f.numbers, n), append(f.events, ev), append(f.spans, n>>spanBits)
	}
}

func matches(ev ima.Event, q rest.MeasurementQuery) bool {
	if q.Path != nil {
		return bytes.Equal(ev.Name, q.Path)
	}
	return bytes.Equal(ev.Digest, q.Digest) && (q.Algorithm == 0 || q.Algorithm == ev.Algorithm)
}

// indexed returns the numbers that the index has for a hash, in order: one more
// than maxCandidates at most.
func (s *Store) indexed(ctx context.Context, hash int64) (numbers []int64, err error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT entry FROM entry_index WHERE hash = ? ORDER BY entry LIMIT ?`, hash, maxCandidates+1)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		numbers = append(numbers, n)
	}
	return numbers, rows.Err()
}

// search goes through all lists.
func (f *finder) search(ctx context.Context, s *Store) error {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT agent, label, list.epoch, list.ended_at IS NULL, first, committed_at, segment.entries
		FROM enrolment JOIN state ON state.enrolment = enrolment.id JOIN list ON list.enrolment = enrolment.id JOIN segment ON segment.list = list.id
		ORDER BY agent, list.id, first`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var m rest.Measurement
		var epoch, entries sql.RawBytes
		var at int64
		if err := rows.Scan(&m.Agent, &m.Label, &epoch, &m.Current, &m.Entry, &at, &entries); err != nil {
			return err
		}
		m.Epoch, m.At = hex.EncodeToString(epoch), fromMillis(at)
		if err := f.segment(m, entries); err != nil {
			f.list.Unreadable++
		}
		if len(f.list.Measurements) > rest.MaxMeasurements {
			f.list.Measurements, f.list.More = f.list.Measurements[:rest.MaxMeasurements], true
			break
		}
	}
	return rows.Err()
}

// segment adds what is found in a segment, whose first entry m has.
func (f *finder) segment(m rest.Measurement, entries []byte) error {
	if err := f.sequence.open(entries); err != nil {
		return err
	}
	first := m.Entry
	for f.sequence.more() {
		numbers, count, err := f.sequence.next(f.wants)
		if err != nil {
			return err
		}
		for i, n := range numbers {
			if at, found := slices.BinarySearch(f.numbers, n); found {
				m.Entry = first + uint64(i)
				f.found(m, f.events[at])
			}
		}
		first += uint64(count)
	}
	return nil
}

func (f *finder) found(m rest.Measurement, ev ima.Event) {
	algorithm := "unknown"
	if ev.Algorithm.Known() {
		algorithm = ev.Algorithm.String()
	}
	m.Path, m.Digest = appraise.Path(ev.Name), algorithm+":"+hex.EncodeToString(ev.Digest)
	f.list.Measurements = append(f.list.Measurements, m)
}

// wants reports whether a chunk may have one of the entries.
func (f *finder) wants(spans []int64) bool {
	for _, s := range f.spans {
		if _, found := slices.BinarySearch(spans, s); found {
			return true
		}
	}
	return false
}
