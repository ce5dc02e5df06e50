package channel

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/quic-go/quic-go"

	"quicklime/wire"
)

// errNoAnswer says that nothing came back from an address.
var errNoAnswer = errors.New("no answer")

// TLS alerts that mean something here (RFC 8446, section 6; RFC 7301). QUIC
// carries an alert as error code 0x100 + alert (RFC 9001, section 4.8).
const (
	cryptoError                = 0x100
	alertBadCertificate        = 42
	alertNoApplicationProtocol = 120
)

// explainDial is explain for a connection that did not come about.
func explainDial(name string, err error) error {
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("%w from %s (is UDP open?): %w", errNoAnswer, name, err)
	}
	return explain(name, err)
}

// explain says of a connection's error what a person can do with it. The cause
// stays wrapped.
func explain(name string, err error) error {
	if e, ok := errors.AsType[*quic.ApplicationError](err); ok {
		err = &CloseError{Code: Code(e.ErrorCode), Remote: e.Remote, Reason: printable(e.ErrorMessage)}
		return fmt.Errorf("%s: %w", name, err)
	}
	if e, ok := errors.AsType[*quic.TransportError](err); ok {
		return explainTransport(name, e)
	}
	if _, ok := errors.AsType[*quic.IdleTimeoutError](err); ok {
		return fmt.Errorf("%s: the connection is lost: %w", name, err)
	}
	if _, ok := errors.AsType[*quic.StatelessResetError](err); ok {
		return fmt.Errorf("%s: the server was started anew: %w", name, err)
	}
	return fmt.Errorf("%s: %w", name, err)
}

func explainTransport(name string, e *quic.TransportError) error {
	switch {
	case e.Remote && e.ErrorCode == quic.ConnectionRefused:
		return fmt.Errorf("%s: %w", name, &CloseError{Code: CodeBusy, Remote: true})
	case e.Remote && e.ErrorCode == cryptoError+alertBadCertificate:
		return fmt.Errorf("%s: %w", name, &CloseError{Code: CodeNotEnrolled, Remote: true})
	case e.Remote && e.ErrorCode == cryptoError+alertNoApplicationProtocol:
		return fmt.Errorf("%s: a server of another protocol or version (is it the right port?): %w", name, alert(e))
	case e.Remote && e.ErrorCode.IsCryptoError():
		return fmt.Errorf("%s refuses the TLS handshake: %w", name, alert(e))
	case e.ErrorCode.IsCryptoError():
		return fmt.Errorf("%s: %w", name, cause(e))
	}
	shown := *e
	shown.ErrorMessage = printable(e.ErrorMessage) // whoever is on the way may have written it
	return fmt.Errorf("%s: %w", name, &shown)
}

// alert is the TLS alert that the peer sent.
func alert(e *quic.TransportError) tls.AlertError { return tls.AlertError(e.ErrorCode - cryptoError) }

// cause is the error of a handshake that failed here, without QUIC's words
// around it.
func cause(e *quic.TransportError) error {
	for _, err := range e.Unwrap() {
		if err != nil && err != net.ErrClosed {
			return err
		}
	}
	return e
}

// printable is s if it is fit for a log.
func printable(s string) string {
	if !wire.Printable(s, maxReason) {
		return ""
	}
	return strings.TrimSpace(s)
}

// quiet keeps quic-go from writing to the standard log that a socket's buffers
// are smaller than it would like: they are what the system's limits allow, and
// no peer is served worse than it can stand.
var quiet = sync.OnceFunc(func() { os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true") })
