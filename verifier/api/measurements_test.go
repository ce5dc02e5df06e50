package api

import (
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/wire/pcr"
	"quicklime/wire/rest"
)

func TestI24_SearchMeasurements(t *testing.T) {
	sum := make([]byte, 32)
	digits := "0000000000000000000000000000000000000000000000000000000000000000"
	for query, want := range map[string]*rest.MeasurementQuery{
		"path=/bin/a":                        {Path: []byte("/bin/a")},
		"path=" + url.QueryEscape("/\xff\n"): {Path: []byte("/\xff\n")},
		"digest=" + digits:                   {Digest: sum},
		"digest=sha256:" + digits:            {Digest: sum, Algorithm: pcr.SHA256},
		"digest=SHA256:" + digits:            {Digest: sum, Algorithm: pcr.SHA256},
		"digest=" + digits[:32]:              {Digest: sum[:16]},
		"":                                   nil,
		"digest=" + digits[:12]:              nil,
		"digest=" + digits[:62]:              nil,
		"path=/a&digest=" + digits:           nil,
		"digest=sha1:" + digits:              nil,
		"digest=md5:" + digits:               nil,
		"digest=xyz":                         nil,
		"digest=" + digits + digits + "00":   nil,
	} {
		m := newMemory()
		res := call(t, serve(t, m, rest.RoleOperator), "GET", "/v1/measurements?"+query, nil)
		if want == nil {
			if e := errorOf(t, res); e.Code != rest.CodeBadRequest || e.Hint == "" {
				t.Errorf("%q: %+v", query, e)
			}
			continue
		}
		decode[rest.MeasurementList](t, res, 200)
		if d := cmp.Diff(*want, m.searched); d != "" {
			t.Errorf("%q: %s", query, d)
		}
	}
}
