package store

import "sync"

// changes tells whoever waits that a record changed in this process. Keys are
// agent ids, and SPKI hashes for enrolments that begin or end. It holds a key
// only while somebody waits for it. The zero value is ready for use.
type changes struct {
	mu      sync.Mutex
	waiting map[string]*waiters
}

// waiters are those who wait for one key.
type waiters struct {
	changed chan struct{} // closed by the change
	count   int
}

// wait returns a channel that closes at the next change of key, and a function
// that ends the wait, which is to be called once.
func (c *changes) wait(key string) (<-chan struct{}, func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting == nil {
		c.waiting = make(map[string]*waiters)
	}
	w := c.waiting[key]
	if w == nil {
		w = &waiters{changed: make(chan struct{})}
		c.waiting[key] = w
	}
	w.count++
	return w.changed, func() { c.leave(key, w) }
}

// leave forgets the key when the last who waited has left.
func (c *changes) leave(key string, w *waiters) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.count--; w.count == 0 && c.waiting[key] == w {
		delete(c.waiting, key)
	}
}

// announce wakes everybody who waits for key.
func (c *changes) announce(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.waiting[key]; w != nil {
		close(w.changed)
		delete(c.waiting, key)
	}
}

// Changed returns a channel that closes when the agent's record changes next, and
// a function that ends the wait, to be called once. Read the record after the
// call, not before.
func (s *Store) Changed(agent string) (<-chan struct{}, func()) { return s.changes.wait(agent) }

// Enrolled returns a channel that closes when an enrolment with this transport
// key begins or ends, and a function that ends the wait, to be called once. Look
// for it after the call, not before.
func (s *Store) Enrolled(spki [32]byte) (<-chan struct{}, func()) {
	return s.changes.wait(string(spki[:]))
}
