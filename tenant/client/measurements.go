package client

import (
	"context"
	"net/url"

	"quicklime/wire/rest"
)

// SearchMeasurements returns who has measured a file: by its path, or if that is
// empty by its digest, as "sha256:…" or the digits alone.
func (v *Verifier) SearchMeasurements(ctx context.Context, path, digest string) (l rest.MeasurementList, err error) {
	query := url.Values{"path": {path}}
	if path == "" {
		query = url.Values{"digest": {digest}}
	}
	return l, v.do(ctx, request{route: rest.SearchMeasurements, query: query}, &l)
}
