package channel

import (
	"errors"
	"testing"

	"github.com/quic-go/quic-go"
)

func TestExplain(t *testing.T) {
	tests := []struct {
		err  error
		want string
	}{
		{&quic.IdleTimeoutError{}, "v: the connection is lost: timeout: no recent network activity"},
		{&quic.StatelessResetError{}, "v: the server was started anew: received a stateless reset"},
		{&quic.TransportError{Remote: true, ErrorCode: quic.ConnectionRefused}, "v: the peer closed the connection: too many connections"},
		{&quic.TransportError{Remote: true, ErrorCode: cryptoError + 40}, "v refuses the TLS handshake: tls: handshake failure"},
		{&quic.TransportError{ErrorCode: quic.FlowControlError, ErrorMessage: "m"}, "v: FLOW_CONTROL_ERROR (local): m"},
		{&quic.TransportError{Remote: true, ErrorCode: quic.InternalError, ErrorMessage: "\x1b[2Jall is well"}, "v: INTERNAL_ERROR (remote)"},
		{&quic.ApplicationError{ErrorCode: 77}, "v: the connection was closed here: code 77"},
		{&quic.ApplicationError{Remote: true, ErrorCode: 2, ErrorMessage: "x"}, "v: the peer closed the connection: a newer session of this machine took over (x)"},
		{errors.ErrUnsupported, "v: unsupported operation"},
	}
	for _, tt := range tests {
		if got := explain("v", tt.err).Error(); got != tt.want {
			t.Errorf("%T: %q, want %q", tt.err, got, tt.want)
		}
	}
}
