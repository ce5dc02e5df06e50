package channel

import "fmt"

// Code says why a connection was closed: a QUIC application error code.
type Code uint64

// The codes. An unknown one means CodeInternal.
const (
	CodeDone        Code = 0 // nothing more to say
	CodeNotEnrolled Code = 1 // the server does not know, or no longer knows, this key
	CodeDisplaced   Code = 2 // a newer session of the same machine took over
	CodeProtocol    Code = 3 // the peer said what this protocol does not allow, or said it too slowly
	CodeShutdown    Code = 4 // the program stops; come back
	CodeInternal    Code = 5 // a fault of the side that closed
	CodeBusy        Code = 6 // too many peers; come back later
	CodeSilent      Code = 7 // the peer did not answer in time: asleep, perhaps
)

var codeText = map[Code]string{
	CodeDone:        "done",
	CodeNotEnrolled: "not enrolled",
	CodeDisplaced:   "a newer session of this machine took over",
	CodeProtocol:    "protocol violation",
	CodeShutdown:    "shutting down",
	CodeInternal:    "internal error",
	CodeBusy:        "too many connections",
	CodeSilent:      "no answer in time",
}

func (c Code) String() string {
	if s, ok := codeText[c]; ok {
		return s
	}
	return fmt.Sprintf("code %d", uint64(c))
}

// CloseError says that a side closed the connection, and why.
type CloseError struct {
	Code   Code
	Remote bool   // the peer closed it
	Reason string // what it said for the log; printable; may be empty
}

func (e *CloseError) Error() string {
	who := "the connection was closed here"
	if e.Remote {
		who = "the peer closed the connection"
	}
	if e.Reason != "" {
		return fmt.Sprintf("%s: %s (%s)", who, e.Code, e.Reason)
	}
	return fmt.Sprintf("%s: %s", who, e.Code)
}
