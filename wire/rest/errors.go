package rest

import "fmt"

// Code says what kind of error an answer carries. Codes are stable: programs
// branch on them.
type Code string

// The codes and the HTTP status of each, which is the whole table.
const (
	CodeBadRequest   Code = "bad_request"  // the request cannot be understood
	CodeUnauthorised Code = "unauthorised" // no client certificate of this installation
	CodeForbidden    Code = "forbidden"    // the certificate's role does not allow the call
	CodeNotFound     Code = "not_found"    // no such thing
	CodeConflict     Code = "conflict"     // it exists already, is in use, or has changed meanwhile
	CodeTooLarge     Code = "too_large"    // the body is over its limit
	CodeInvalid      Code = "invalid"      // understood, and refused: a policy that does not compile, an identity that does not check
	CodeInternal     Code = "internal"     // our fault; the log says more
)

// Status maps every code to its HTTP status.
var Status = map[Code]int{
	CodeBadRequest:   400,
	CodeUnauthorised: 401,
	CodeForbidden:    403,
	CodeNotFound:     404,
	CodeConflict:     409,
	CodeTooLarge:     413,
	CodeInvalid:      422,
	CodeInternal:     500,
}

// Error is the body of every answer that is not a success, as
// {"error": {"code": …, "message": …, "hint": …}}.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // what to do next, for a person
}

// Errorf makes an Error without a hint.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// WithHint returns e with a hint.
func (e *Error) WithHint(format string, args ...any) *Error {
	return &Error{e.Code, e.Message, fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string { return e.Message }

// ErrorBody is the JSON around an Error.
type ErrorBody struct {
	Error *Error `json:"error"`
}
