package api

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"

	"quicklime/verifier/policy"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
)

// measurements answers the routes under /v1/measurements.
type measurements struct{ v Measurements }

func (m measurements) search(w http.ResponseWriter, r *http.Request) error {
	q, err := queryOf(r.URL.Query())
	if err != nil {
		return err
	}
	l, err := m.v.SearchMeasurements(r.Context(), q)
	return answer(w, http.StatusOK, l, err)
}

// queryOf reads what to look for: path, which is any bytes (I24), or digest, with its
// algorithm before it or without.
func queryOf(v url.Values) (q rest.MeasurementQuery, err error) {
	path, digest := v.Get("path"), v.Get("digest")
	switch {
	case (path == "") == (digest == ""):
		return q, rest.Errorf(rest.CodeBadRequest, "a search is for a path or for a digest").WithHint("use ?path= or ?digest=")
	case len(path) > policy.MaxPath:
		return q, rest.Errorf(rest.CodeBadRequest, "a path of %d bytes, Linux has none of more than %d", len(path), policy.MaxPath)
	case path != "":
		return rest.MeasurementQuery{Path: []byte(path)}, nil
	}
	algorithm, digits, named := strings.Cut(digest, ":")
	if !named {
		digits = digest
	} else if q.Algorithm, err = pcr.ParseBank(algorithm); err != nil {
		return q, rest.Errorf(rest.CodeBadRequest, "%v", err).WithHint("use sha1, sha256, sha384 or sha512")
	}
	q.Digest, err = hex.DecodeString(digits)
	if err != nil || len(q.Digest) == 0 || len(q.Digest) > 64 || named && len(q.Digest) != q.Algorithm.Size() {
		return q, rest.Errorf(rest.CodeBadRequest, "%q is no digest in hexadecimal", digits).WithHint("a SHA-256 digest has 64 digits")
	}
	return q, nil
}
