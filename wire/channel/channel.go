// Package channel connects an agent to a server: QUIC version 1 (RFC 9000) with
// TLS 1.3, both sides authenticated and pinned, every wait bounded.
//
// The server proves a name under the CA whose key the client pins; no system
// root is ever asked. The client proves a key: it sends exactly one certificate,
// whose ECDSA P-256 key is all that counts, and the server admits or refuses the
// SHA-256 of that key's SubjectPublicKeyInfo. There are no session tickets, no
// resumption and no 0-RTT, so every connection has proved both keys, and the TLS
// exporter of the connection can stand for it in what a TPM signs.
//
// The client opens the only stream there ever is, a bidirectional one, by
// sending on it. Both directions carry frames of package wire; a message may
// announce raw bytes, which follow its frame directly. Further streams,
// unidirectional streams and datagrams are not offered by the transport
// parameters, so that using one is a violation of QUIC itself.
//
// A side that wants no more closes the connection with a [Code]. A server whose
// handler returns ends its direction of the stream, waits until the client has
// everything, then closes with [CodeDone].
package channel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"quicklime/wire"
)

// Conn is one connection. One goroutine at a time may read from it (Receive and
// the reader that Raw returns); any number may Send and Close.
type Conn struct {
	quic     *quic.Conn
	stream   *quic.Stream
	peer     Peer
	name     string // what errors call the peer
	exporter []byte
	timing   timing
	panicked func(p any) // ends a listener's connection; nil: a panic is let through

	sending sync.Mutex // held while a message is written
	wakeup  wakeup

	unread uint64 // raw bytes promised to the last Raw and not read yet; owned by the reading goroutine
}

func newConn(q *quic.Conn, s *quic.Stream, peer Peer, name, exporter string, t timing) (*Conn, error) {
	state := q.ConnectionState().TLS
	key, err := exportKey(&state, exporter)
	if err != nil {
		return nil, err
	}
	return &Conn{quic: q, stream: s, peer: peer, name: name, exporter: key, timing: t}, nil
}

func exportKey(state *tls.ConnectionState, label string) ([]byte, error) {
	key, err := state.ExportKeyingMaterial(label, nil, wire.ExporterSize)
	if err != nil {
		return nil, fmt.Errorf("TLS exporter %q: %w", label, err)
	}
	return key, nil
}

// Contained is do for a goroutine that a handler starts: a panic in it ends the
// connection and nothing else, as one of the handler does.
func (c *Conn) Contained(do func()) func() {
	if c.panicked == nil {
		return do
	}
	return func() {
		defer func() {
			if p := recover(); p != nil {
				c.panicked(p)
			}
		}()
		do()
	}
}

// Peer is who is at the other end.
func (c *Conn) Peer() Peer { return c.peer }

// MakeKnown counts the peer among the known ones from now on, which it has become
// if Admit did not know it. It reports false if there are too many of them.
func (c *Conn) MakeKnown() bool {
	t := ticketOf(c.quic.Context())
	return t != nil && t.known()
}

// Exporter is the connection's TLS exporter (RFC 8446, section 7.5) under the
// configured label and an empty context: 32 bytes that both ends know and no
// other connection has.
func (c *Conn) Exporter() []byte { return slices.Clone(c.exporter) }

// Context ends with the connection.
func (c *Conn) Context() context.Context { return c.quic.Context() }

// Send writes m and then raw, whole, before any other message. A peer that does
// not take it in time, wire.FrameTimeout or with raw bytes wire.EvidenceTimeout,
// loses the connection: what it has of a message cannot be taken back.
func (c *Conn) Send(m wire.Message, raw ...[]byte) error {
	frame, err := wire.AppendFrame(nil, m)
	if err != nil {
		return err
	}
	limit := c.timing.frame
	if len(raw) > 0 {
		limit = c.timing.raw
	}
	c.sending.Lock()
	defer c.sending.Unlock()
	c.stream.SetWriteDeadline(time.Now().Add(limit))
	for _, b := range slices.Concat([][]byte{frame}, raw) {
		if _, err := c.stream.Write(b); err != nil {
			return c.broken(err)
		}
	}
	return nil
}

// Receive reads the next message. It waits for its first byte for at most
// timeout, or with 0 for as long as the connection lives; from then on the
// message must be complete within wire.FrameTimeout.
//
// If nothing at all came in time, or Wake was called, the error is os.ErrDeadlineExceeded, and the
// connection is as good as before. A message that is malformed
// (wire.ErrMalformed) or slow costs the peer the connection. The end of it is a
// *CloseError if a side said why.
func (c *Conn) Receive(timeout time.Duration) (wire.Message, error) {
	if c.unread > 0 {
		return nil, fmt.Errorf("%s: %d raw bytes of the last message are still to be read", c.name, c.unread)
	}
	if !c.wakeup.begin(func() { c.stream.SetReadDeadline(deadline(timeout)) }) {
		return nil, explain(c.name, os.ErrDeadlineExceeded)
	}
	var first [1]byte
	_, err := c.stream.Peek(first[:])
	c.wakeup.end(errors.Is(err, os.ErrDeadlineExceeded), func() { c.stream.SetReadDeadline(deadline(c.timing.frame)) })
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = &CloseError{Code: CodeDone, Remote: true}
		}
		return nil, explain(c.name, err)
	}
	m, err := wire.ReadFrame(c.stream)
	if err != nil {
		return nil, c.broken(err)
	}
	return m, nil
}

// Raw reads the n raw bytes that follow the message just received. They must be
// read, to io.EOF or all n, before the next Receive, and all of them must have
// arrived within timeout of this call (0: of wire.EvidenceTimeout). The error is
// io.ErrUnexpectedEOF if the peer ends its stream before.
func (c *Conn) Raw(n uint64, timeout time.Duration) io.Reader {
	if timeout == 0 {
		timeout = c.timing.raw
	}
	c.unread = n
	c.stream.SetReadDeadline(deadline(timeout))
	return (*rawReader)(c)
}

// rawReader is a Conn as the reader of its unread raw bytes.
type rawReader Conn

func (r *rawReader) Read(p []byte) (int, error) {
	if r.unread == 0 {
		return 0, io.EOF
	}
	if uint64(len(p)) > r.unread {
		p = p[:r.unread]
	}
	n, err := r.stream.Read(p)
	r.unread -= uint64(n)
	if err == nil || r.unread == 0 {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, (*Conn)(r).broken(err)
}

// broken closes a connection whose stream is at no message's boundary any more
// and says why it is.
func (c *Conn) broken(err error) error {
	code, reason := CodeProtocol, "malformed"
	if errors.Is(err, os.ErrDeadlineExceeded) {
		reason = "too slow"
	}
	c.Close(code, reason)
	return explain(c.name, err)
}

// Close ends the connection at once: what the peer does not have yet is lost.
// The reason is for its log. Only the first Close has an effect.
func (c *Conn) Close(code Code, reason string) {
	c.quic.CloseWithError(quic.ApplicationErrorCode(code), reason)
}

// finish ends the connection after everything sent has arrived, or after a
// while. The client answers the end of the stream by closing.
func (c *Conn) finish() {
	c.sending.Lock()
	c.stream.Close()
	c.sending.Unlock()
	c.stream.SetReadDeadline(deadline(c.timing.linger))
	io.Copy(io.Discard, c.stream)
	c.Close(CodeDone, "")
}

// deadline is the time after d; 0 is never.
func deadline(d time.Duration) time.Time {
	if d == 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}
