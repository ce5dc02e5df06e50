package rest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// Bounds on a request's body.
const (
	// MaxBody bounds every body: a runtime policy of 256 MiB in JSON, whose quotes
	// are escaped, or signed, in base64, which has a third more.
	MaxBody = 344 << 20 // bytes

	// MaxSmallBody bounds a body that carries no policy: the largest is an
	// enrolment, with three public areas of at most 1 KiB in base64.
	MaxSmallBody = 64 << 10 // bytes
)

// ReadJSON reads the body of r as one JSON value into into. An unknown member,
// bytes after the value and a wrong type are CodeBadRequest; a body of more than
// max bytes is CodeTooLarge.
func ReadJSON(r *http.Request, max int64, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, max))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, err = d.Token(); err == io.EOF {
			return nil
		} else if err == nil {
			err = errors.New("more follows the value")
		}
	}
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return Errorf(CodeTooLarge, "the body is larger than %d bytes", e.Limit)
	}
	if err == io.EOF {
		return Errorf(CodeBadRequest, "the body is empty, want JSON")
	}
	return Errorf(CodeBadRequest, "the body is not what this call takes: %v", err)
}

// WriteJSON answers with v. What the API says is for its caller and for now, so
// nothing keeps a copy.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(append(b, '\n')) // a client that left is no error of the call's
	return nil
}

// WriteError answers with err: its *Error if it has one, else CodeInternal and
// the id under which the log says more.
func WriteError(w http.ResponseWriter, err error) {
	e := clientError(err)
	if e == nil {
		e = Errorf(CodeInternal, "internal error")
		if id := w.Header().Get(requestIDHeader); id != "" {
			e = e.WithHint("the server's log says more under request %s", id)
		}
	}
	WriteJSON(w, Status[e.Code], ErrorBody{e})
}

// clientError returns the *Error in err that a client may see, or nil.
func clientError(err error) *Error {
	e, ok := errors.AsType[*Error](err)
	if !ok || e == nil || e.Code == CodeInternal || Status[e.Code] == 0 {
		return nil
	}
	return e
}
