package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"quicklime/wire/rest"
)

// A request is one call: a route, the values of its wildcards, and what goes with
// it.
type request struct {
	route rest.Route
	value string     // of {id}, or of {name} if that is the only one
	name  string     // of {name} behind {id}
	query url.Values // may be nil
	body  []byte     // JSON; nil: none
	bytes bool       // the body is not JSON
}

// with returns r with v as its body.
func (r request) with(v any) (request, error) {
	b, err := json.Marshal(v)
	r.body = b
	return r, err
}

// path is the route's pattern with its wildcards filled in.
func (r request) path() string {
	path := r.route.Pattern
	for _, value := range []string{r.value, r.name} {
		open, end := strings.IndexByte(path, '{'), strings.IndexByte(path, '}')
		if open < 0 {
			return path
		}
		path = path[:open] + url.PathEscape(value) + path[end+1:]
	}
	return path
}

// do makes the call and decodes a success into out, which may be nil.
func (p *peer) do(ctx context.Context, r request, out any) error {
	address := strings.TrimSuffix(p.base.String(), "/") + r.path()
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.route.Method, address, bytes.NewReader(r.body))
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	switch {
	case r.bytes:
		req.Header.Set("Content-Type", "application/octet-stream")
	case r.body != nil:
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := p.http.Do(req)
	if err != nil {
		return p.unreachable(ctx, err)
	}
	defer res.Body.Close()
	return p.read(ctx, res, out)
}

// read takes the answer apart.
func (p *peer) read(ctx context.Context, res *http.Response, out any) error {
	body, err := readAll(res.Body, MaxAnswer)
	if errors.Is(err, errTooLong) {
		return fmt.Errorf("%s at %s: %w", p.name, p.base, err)
	}
	if err != nil {
		return p.unreachable(ctx, err)
	}
	err = p.decode(res, body, out)
	if errors.Is(err, errForeign) && ctx.Err() != nil {
		// A server that sees the client leave ends its answer where it is,
		// and that can still arrive.
		return ctx.Err()
	}
	return err
}

// decode reads a whole answer: a refusal, nothing if out is nil, else JSON.
func (p *peer) decode(res *http.Response, body []byte, out any) error {
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return p.refusal(res, body)
	}
	if out == nil && res.StatusCode == http.StatusNoContent {
		return nil
	}
	if out == nil {
		return p.foreign(res.Status, errors.New("it should have no content"))
	}
	if err := json.Unmarshal(body, out); err != nil {
		return p.foreign(res.Status, err)
	}
	return nil
}

// errTooLong says that an answer is longer than any of ours.
var errTooLong = errors.New("the answer is too long")

// readAll reads r to its end, which must come within max bytes.
func readAll(r io.Reader, max int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, max+1))
	if err == nil && int64(len(b)) > max {
		return nil, fmt.Errorf("%w: over %d bytes", errTooLong, max)
	}
	return b, err
}

// refusal reads the error that a server answered with.
func (p *peer) refusal(res *http.Response, body []byte) error {
	var e rest.ErrorBody
	if err := json.Unmarshal(body, &e); err != nil {
		return p.foreign(res.Status, err)
	}
	if e.Error == nil || e.Error.Code == "" {
		return p.foreign(res.Status, errors.New("it has no error code"))
	}
	if e.Error.Code == rest.CodeNotFound && strings.HasSuffix(e.Error.Message, noPath) {
		return e.Error.WithHint("that is perhaps the other server: see registrar_url and verifier_url in tenant.toml")
	}
	return e.Error
}

// noPath is how the message of a server ends that has no such route (rest.NewMux).
const noPath = " in this API"

// errForeign says that an answer is none that a server of ours gives.
var errForeign = errors.New("not an answer of this API")

func (p *peer) foreign(status string, err error) error {
	return fmt.Errorf("%s at %s: %q is %w: %w (is the URL right?)", p.name, p.base, status, errForeign, err)
}
