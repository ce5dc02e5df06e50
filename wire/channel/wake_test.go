package channel

import (
	"errors"
	"os"
	"sync"
	"testing"

	"quicklime/wire"
)

// A Receive that waits is woken, and so is the next one if none waits; what a Wake
// was for is done with then.
func TestWake(t *testing.T) {
	a := newAuthority(t)
	addr, _ := start(t, a.listenConfig(), echo)
	c := dialTest(t, a.dialConfig(t, addr))
	woken := make(chan error)
	go func() { _, err := c.Receive(0); woken <- err }()
	for { // until the goroutine waits
		c.wakeup.mu.Lock()
		waiting := c.wakeup.waiting
		c.wakeup.mu.Unlock()
		if waiting {
			break
		}
	}
	c.Wake()
	if err := <-woken; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	c.Wake()
	c.Wake()
	if _, err := c.Receive(0); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	if err := c.Send(challenge); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Receive(0); err != nil {
		t.Errorf("woken once too often: %v", err)
	}
}

// Nothing is lost and no message is cut in two, however often somebody wakes.
func TestWakeWhileMessagesArrive(t *testing.T) {
	a := newAuthority(t)
	addr, _ := start(t, a.listenConfig(), echo)
	c := dialTest(t, a.dialConfig(t, addr))
	done := make(chan struct{})
	var waking sync.WaitGroup
	waking.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				c.Wake()
			}
		}
	})
	defer waking.Wait()
	defer close(done)
	for range 200 {
		if err := c.Send(challenge); err != nil {
			t.Fatal(err)
		}
		var m wire.Message
		err := os.ErrDeadlineExceeded
		for errors.Is(err, os.ErrDeadlineExceeded) {
			m, err = c.Receive(0)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := m.(wire.Challenge); !ok {
			t.Fatalf("%T", m)
		}
	}
}
