package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// monitor is a connection to QEMU's monitor (QEMU Machine Protocol specification): a
// greeting, then an answer to each command, and events at any time, each a line of JSON.
type monitor struct {
	conn net.Conn
	in   *json.Decoder
}

// reply is anything that QEMU says.
type reply struct {
	Event string          `json:"event"`
	Error json.RawMessage `json:"error"`
}

func openMonitor(ctx context.Context, socket string, qemu *process) (*monitor, error) {
	conn, err := dial(ctx, socket, qemu)
	if err != nil {
		return nil, err
	}
	m := &monitor{conn, json.NewDecoder(conn)}
	var greeting reply
	if err := errors.Join(conn.SetDeadline(time.Now().Add(patience)), m.in.Decode(&greeting), m.command("qmp_capabilities")); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return m, nil
}

// command tells QEMU to do something, and waits for its answer.
func (m *monitor) command(name string) error {
	if err := m.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := json.NewEncoder(m.conn).Encode(map[string]string{"execute": name}); err != nil {
		return err
	}
	for {
		var r reply
		if err := m.in.Decode(&r); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if r.Event != "" {
			continue
		}
		if r.Error != nil {
			return fmt.Errorf("%s: %s", name, r.Error)
		}
		return nil
	}
}

// await waits for an event.
func (m *monitor) await(event string, within time.Duration) error {
	if err := m.conn.SetDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	for {
		var r reply
		if err := m.in.Decode(&r); err != nil {
			return fmt.Errorf("event %s: %w", event, err)
		}
		if r.Event == event {
			return nil
		}
	}
}
