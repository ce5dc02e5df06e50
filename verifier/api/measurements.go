package api

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
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
	} else if q.Algorithm, err = pcr.ParseBank(strings.ToLower(algorithm)); err != nil {
		return q, rest.Errorf(rest.CodeBadRequest, "%q is no algorithm that is known here", algorithm).WithHint("use sha1, sha256, sha384 or sha512, or the digits alone")
	}
	q.Digest, err = hex.DecodeString(digits)
	if err != nil || named && len(q.Digest) != q.Algorithm.Size() || !slices.Contains(digestSizes, len(q.Digest)) {
		return q, rest.Errorf(rest.CodeBadRequest, "%q is no digest in hexadecimal: it has %d digits", digits, len(digits)).
			WithHint("write all of the digest: sha1 has 40 digits, sha256 64, sha384 96, sha512 128")
	}
	return q, nil
}

// digestSizes are those that the kernel's hash algorithms have (hash_digest_size in
// crypto/hash_info.c). Nobody has measured the beginning of a digest: to say so would
// clear a file that all have.
var digestSizes = []int{16, 20, 24, 28, 32, 40, 48, 64} // bytes
