package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"

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

// List returns the certified measurement list of an enrolment's epoch up to an
// entry, replayed from its beginning.
func (s *Store) List(ctx context.Context, st Standing) (ima.Replayed, error) {
	numbers, err := s.sequence(ctx, st)
	if err != nil {
		return ima.Replayed{}, err
	}
	stream := ima.NewStream(ima.NewState(st.Resume.Bank()))
	for len(numbers) > 0 {
		run := contiguous(numbers)
		b, err := s.entries(ctx, numbers[0], run)
		if err != nil {
			return ima.Replayed{}, err
		}
		if _, err := stream.Write(b); err != nil {
			return ima.Replayed{}, err
		}
		numbers = numbers[run:]
	}
	return stream.Finish()
}

func (s *Store) sequence(ctx context.Context, st Standing) (numbers []int64, err error) {
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

// contiguous returns how many numbers at the beginning follow on each other.
func contiguous(numbers []int64) int {
	n := 1
	for n < len(numbers) && numbers[n] == numbers[n-1]+1 {
		n++
	}
	return n
}

// entries returns the bytes of count entries from a number on.
func (s *Store) entries(ctx context.Context, first int64, count int) ([]byte, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT bytes FROM entry WHERE id BETWEEN ? AND ? ORDER BY id`, first, first+int64(count)-1)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all bytes.Buffer
	n := 0
	for ; rows.Next(); n++ {
		var b sql.RawBytes
		if err := rows.Scan(&b); err != nil {
			return nil, err
		}
		all.Write(b)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if n != count {
		return nil, fmt.Errorf("%d of the %d entries from number %d on are stored", n, count, first)
	}
	return all.Bytes(), nil
}
