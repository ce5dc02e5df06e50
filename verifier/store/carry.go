package store

import (
	"database/sql"
	"encoding/binary"
	"fmt"
	"slices"

	"quicklime/ima"
)

// carryOver puts the entries and sequences of schema 3 where schema 4 has them,
// and drops their tables. An entry that cannot be read is left out, and so is a
// sequence that is damaged or refers to one: its list was unreadable before and is
// after (I10).
func carryOver(tx *sql.Tx) error {
	c := carrier{tx: tx, numbers: map[int64]int64{}}
	if err := c.entries(); err != nil {
		return fmt.Errorf("entries: %w", err)
	}
	if err := c.segments(); err != nil {
		return fmt.Errorf("sequences of entries: %w", err)
	}
	_, err := tx.Exec(`DROP TABLE old_entry; DROP TABLE old_segment`)
	return err
}

type carrier struct {
	tx      *sql.Tx
	numbers map[int64]int64 // by id of before
	block   addition
	ids     []int64 // of the entries in block
}

// oldEntry is a row of the table of entries of before.
type oldEntry struct {
	id  int64
	raw []byte
}

func (c *carrier) entries() error {
	var last int64
	for {
		rows, err := c.oldEntries(last)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return c.flush()
		}
		for _, r := range rows {
			if err := c.entry(r); err != nil {
				return err
			}
		}
		last = rows[len(rows)-1].id
	}
}

func (c *carrier) oldEntries(after int64) (all []oldEntry, err error) {
	rows, err := c.tx.Query(`SELECT id, bytes FROM old_entry WHERE id > ? ORDER BY id LIMIT ?`, after, maxBlockEntries)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r oldEntry
		if err := rows.Scan(&r.id, &r.raw); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

func (c *carrier) entry(r oldEntry) error {
	e, n, err := ima.ParseEntry(r.raw)
	if err != nil || n != len(r.raw) {
		return nil
	}
	k := newKind(string(e.Template), e.Violation())
	sum := k.sum(e.Data)
	u := unstored{kind: &k, id: k.identify(&sum), data: e.Data}
	if !c.block.add(&u) {
		if err := c.flush(); err != nil {
			return err
		}
		c.block.add(&u) // an empty block has room for any entry
	}
	c.ids = append(c.ids, r.id)
	return nil
}

func (c *carrier) flush() error {
	if len(c.ids) == 0 {
		return nil
	}
	c.block.seal()
	if err := c.block.insert(c.tx); err != nil {
		return err
	}
	for i, id := range c.ids {
		c.numbers[id] = c.block.first + int64(i)
	}
	c.block, c.ids = addition{}, nil
	return nil
}

// segments carries the segments over. When each was committed nobody has written
// down: not after the last evidence.
func (c *carrier) segments() error {
	_, err := c.tx.Exec(`INSERT INTO list (enrolment, epoch, ended_at)
		SELECT DISTINCT old_segment.enrolment, old_segment.epoch, CASE WHEN state.epoch = old_segment.epoch THEN NULL ELSE coalesce(attested_at, 0) END
		FROM old_segment JOIN state ON state.enrolment = old_segment.enrolment`)
	if err != nil {
		return err
	}
	const next = `SELECT list.id, first, count, old_segment.entries, coalesce(attested_at, 0)
		FROM old_segment JOIN list ON list.enrolment = old_segment.enrolment AND list.epoch = old_segment.epoch
		JOIN state ON state.enrolment = list.enrolment
		WHERE (list.id, first) > (?, ?) ORDER BY list.id, first LIMIT 1`
	list, first := int64(0), int64(0)
	for {
		var count, at int64
		var old []byte
		err := c.tx.QueryRow(next, list, first).Scan(&list, &first, &count, &old, &at)
		if err == sql.ErrNoRows {
			return nil
		}
		if err != nil {
			return err
		}
		numbers, ok := c.translate(old)
		if !ok || int64(len(numbers)) != count {
			continue
		}
		_, err = c.tx.Exec(`INSERT INTO segment (list, first, count, committed_at, entries) VALUES (?, ?, ?, ?, ?)`,
			list, first, count, at, appendSequence(nil, slices.Values(numbers)))
		if err != nil {
			return err
		}
	}
}

// translate decodes a sequence of before, signed varints of the differences of
// ids.
func (c *carrier) translate(old []byte) (numbers []int64, ok bool) {
	var last int64
	for len(old) > 0 {
		d, n := binary.Varint(old)
		if n <= 0 {
			return nil, false
		}
		last += d
		number := c.numbers[last]
		if number == 0 {
			return nil, false
		}
		numbers = append(numbers, number)
		old = old[n:]
	}
	return numbers, true
}
