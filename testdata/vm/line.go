package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"quicklime/testdata/vm/control"
)

// said is what the guest said, and when that arrived.
type said struct {
	control.Message
	at time.Time
}

// line is the driver's end of the serial port.
type line struct {
	conn net.Conn
	said chan said // closed when the line is; then err says why
	err  error
}

// connect connects to QEMU's end, which is there some milliseconds after QEMU started.
func connect(ctx context.Context, socket string, qemu *process) (*line, error) {
	conn, err := dial(ctx, socket, qemu)
	if err != nil {
		return nil, err
	}
	l := &line{conn: conn, said: make(chan said, 16)}
	go l.listen()
	return l, nil
}

// dial connects to a socket that a process is about to make.
func dial(ctx context.Context, socket string, of *process) (net.Conn, error) {
	deadline := time.Now().Add(patience)
	for {
		conn, err := net.Dial("unix", socket)
		switch {
		case err == nil:
			return conn, nil
		case of.ended():
			return nil, fmt.Errorf("%s ended at its start: %v; what it said is in %s", of.name, of.cmd.ProcessState, of.log)
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case time.Now().After(deadline):
			return nil, fmt.Errorf("%s: %w", of.name, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (l *line) listen() {
	defer close(l.said)
	for d := json.NewDecoder(l.conn); ; {
		var m control.Message
		if err := d.Decode(&m); err != nil {
			l.err = err
			return
		}
		l.said <- said{m, time.Now()}
	}
}

// next returns what the guest says next.
func (l *line) next(ctx context.Context, within time.Duration) (said, error) {
	select {
	case m, ok := <-l.said:
		if !ok {
			return said{}, fmt.Errorf("the guest is gone: %w", l.err)
		}
		return m, nil
	case <-time.After(within):
		return said{}, fmt.Errorf("the guest said nothing for %v", within)
	case <-ctx.Done():
		return said{}, ctx.Err()
	}
}

// send sends a request and waits for nothing.
func (l *line) send(r control.Request) error { return json.NewEncoder(l.conn).Encode(r) }

// answerWithin bounds the wait for an answer: a registration is the slowest thing a
// guest is asked for.
const answerWithin = 2 * time.Minute

// ask sends a request and returns the answer, and when a marker before it arrived. What
// could not be done is an error.
func (l *line) ask(ctx context.Context, r control.Request) (answer control.Message, marked time.Time, err error) {
	if err := l.send(r); err != nil {
		return answer, marked, err
	}
	for {
		m, err := l.next(ctx, answerWithin)
		switch {
		case err != nil:
			return answer, marked, fmt.Errorf("%s %q: %w", r.Do, r.Args, err)
		case m.Marker:
			marked = m.at
			continue
		case m.Hello != nil:
			return answer, marked, errors.New("the guest has booted again by itself")
		case m.Error != "":
			return answer, marked, fmt.Errorf("%s %q in the guest: %s", r.Do, r.Args, m.Error)
		}
		return m.Message, marked, nil
	}
}
