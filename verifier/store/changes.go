package store

import "sync"

// changes tells whoever waits that a record changed in this process. Keys are
// agent ids, and SPKI hashes for enrolments that begin or end. The zero value is
// ready for use.
type changes struct {
	mu      sync.Mutex
	waiting map[string]chan struct{}
}

// wait returns a channel that closes at the next change of key.
func (c *changes) wait(key string) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting == nil {
		c.waiting = make(map[string]chan struct{})
	}
	ch, ok := c.waiting[key]
	if !ok {
		ch = make(chan struct{})
		c.waiting[key] = ch
	}
	return ch
}

// announce wakes everybody who waits for key.
func (c *changes) announce(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch, ok := c.waiting[key]; ok {
		close(ch)
		delete(c.waiting, key)
	}
}

// Changed returns a channel that closes when the agent's record changes next.
// Read the record after the call, not before.
func (s *Store) Changed(agent string) <-chan struct{} { return s.changes.wait(agent) }

// Enrolled returns a channel that closes when an enrolment with this transport
// key begins or ends. Look for it after the call, not before.
func (s *Store) Enrolled(spki [32]byte) <-chan struct{} { return s.changes.wait(string(spki[:])) }
