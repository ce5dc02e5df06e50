package store

import (
	"container/list"
	"context"
	"fmt"
	"slices"
	"sync"
)

// cache keeps the blocks that were last used, up to maxCached. That a block is in
// it does not say that its entries were not collected meanwhile.
type cache struct {
	mu     sync.Mutex
	blocks []*list.Element // of *block, by first, no two of which overlap
	used   list.List       // the last used in front
	size   int
}

// get returns the block that has the number n, or nil.
func (c *cache) get(n int64) *block {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.after(n)
	if i == 0 {
		return nil
	}
	b := c.blocks[i-1].Value.(*block)
	if !b.has(n) {
		return nil
	}
	c.used.MoveToFront(c.blocks[i-1])
	return b
}

// after is the index of the first block that begins beyond n.
func (c *cache) after(n int64) int {
	i, found := slices.BinarySearchFunc(c.blocks, n, func(e *list.Element, n int64) int {
		return int(e.Value.(*block).first - n)
	})
	if found {
		i++
	}
	return i
}

// put adds a block in the place of those that it was merged from.
func (c *cache) put(b *block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	from, to := c.after(b.first-1), c.after(b.first+int64(b.count())-1)
	if from > 0 && c.blocks[from-1].Value.(*block).has(b.first) {
		from--
	}
	for _, e := range c.blocks[from:to] {
		c.drop(e)
	}
	c.blocks = slices.Replace(c.blocks, from, to, c.used.PushFront(b))
	c.size += b.size()
	for c.size > maxCached && c.used.Len() > 1 {
		last := c.used.Back()
		i := c.after(last.Value.(*block).first)
		c.blocks = slices.Delete(c.blocks, i-1, i)
		c.drop(last)
	}
}

func (c *cache) drop(e *list.Element) {
	c.size -= c.used.Remove(e).(*block).size()
}

// block returns the block that has the number n.
func (s *Store) block(ctx context.Context, n int64) (*block, error) {
	if b := s.cache.get(n); b != nil {
		return b, nil
	}
	b, err := readBlock(ctx, s.db.Read(), n)
	if err != nil {
		return nil, err
	}
	s.cache.put(b)
	return b, nil
}

// readBlock reads the block that has the number n.
func readBlock(ctx context.Context, q queryer, n int64) (*block, error) {
	var first, count int64
	var packed []byte
	err := q.QueryRowContext(ctx, `SELECT first, count, bytes FROM block WHERE first <= ? ORDER BY first DESC LIMIT 1`, n).Scan(&first, &count, &packed)
	if err = notFound(err); err == nil && n-first >= count {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("entry number %d: %w", n, err)
	}
	b, err := unpack(first, packed)
	if err == nil && int64(b.count()) != count {
		err = fmt.Errorf("block of entries from number %d on: %w", first, errDamaged)
	}
	return b, err
}
