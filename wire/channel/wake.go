package channel

import (
	"sync"
	"time"
)

// wakeup lets others end a Receive that waits. The zero value is ready for use.
type wakeup struct {
	mu      sync.Mutex
	waiting bool // a Receive waits for the first byte of a message
	woken   bool // and is not to, or the next one is not
}

// begin sets the deadline of a wait with set, and reports whether to wait at all.
func (w *wakeup) begin(set func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.woken {
		w.woken = false
		return false
	}
	w.waiting = true
	set()
	return true
}

// end ends the wait, whose time was over or not, and sets the deadline of what comes
// next with set.
func (w *wakeup) end(over bool, set func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting, w.woken = false, w.woken && !over
	set()
}

// Wake has the Receive that waits for a message, or else the next one, return
// os.ErrDeadlineExceeded at once, as if its time was over. A message that has begun
// to arrive is not disturbed.
func (c *Conn) Wake() {
	c.wakeup.mu.Lock()
	defer c.wakeup.mu.Unlock()
	c.wakeup.woken = true
	if c.wakeup.waiting {
		c.stream.SetReadDeadline(time.Unix(1, 0)) // long past
	}
}
