package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"quicklime/ima"
)

// encodeSequence encodes entry numbers as signed varints of the differences.
func encodeSequence(numbers []int64) (b []byte) {
	var last int64
	for _, n := range numbers {
		b = binary.AppendVarint(b, n-last)
		last = n
	}
	return b
}

func decodeSequence(b []byte) (numbers []int64, err error) {
	var last int64
	for len(b) > 0 {
		d, n := binary.Varint(b)
		if n <= 0 {
			return nil, errors.New("sequence of entries is damaged")
		}
		last += d
		numbers = append(numbers, last)
		b = b[n:]
	}
	return numbers, nil
}

// Visit shows the certified measurement list of an enrolment's epoch from its
// beginning.
func (s *Store) Visit(ctx context.Context, st Standing, v ima.Visitor) error {
	numbers, err := s.sequence(ctx, st)
	if err != nil {
		return err
	}
	return s.VisitSequence(ctx, numbers, 0, v)
}

// VisitSequence shows the entries of a sequence; first is the index of the first
// one in its list.
func (s *Store) VisitSequence(ctx context.Context, numbers Sequence, first uint64, v ima.Visitor) error {
	for batch := range slices.Chunk(numbers, entryBatch) {
		entries, err := s.entries(ctx, batch)
		if err != nil {
			return err
		}
		b := ima.Batch{First: first}
		for _, n := range batch {
			e, _, err := ima.ParseEntry(entries[n])
			if err != nil {
				return fmt.Errorf("entry number %d: %w", n, err)
			}
			b.Entries = append(b.Entries, e)
			b.Sums = append(b.Sums, sha256.Sum256(e.AppendHashed(nil)))
		}
		v.Visit(b)
		first += uint64(len(batch))
	}
	return nil
}

func (s *Store) sequence(ctx context.Context, st Standing) (numbers Sequence, err error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT entries FROM segment WHERE enrolment = ? AND epoch = ? AND first < ? ORDER BY first`,
		st.Enrolment, st.EpochID, int64(st.Resume.Entries()))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			return nil, err
		}
		more, err := decodeSequence(b)
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, more...)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if uint64(len(numbers)) != st.Resume.Entries() {
		return nil, fmt.Errorf("%d entries are stored of a list of %d", len(numbers), st.Resume.Entries())
	}
	return numbers, nil
}

// entries returns the bytes of entries by number.
func (s *Store) entries(ctx context.Context, numbers []int64) (map[int64][]byte, error) {
	list, err := json.Marshal(numbers)
	if err != nil {
		return nil, err
	}
	rows, err := s.db.Read().QueryContext(ctx, `SELECT id, bytes FROM entry WHERE id IN (SELECT value FROM json_each(?))`, list)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	entries := make(map[int64][]byte, len(numbers))
	for rows.Next() {
		var n int64
		var b []byte
		if err := rows.Scan(&n, &b); err != nil {
			return nil, err
		}
		entries[n] = b
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for _, n := range numbers {
		if entries[n] == nil {
			return nil, fmt.Errorf("entry number %d is not stored", n)
		}
	}
	return entries, nil
}
