package registrar

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadAnchors(t *testing.T) {
	issuer, err := os.ReadFile("../testdata/captures/ca/issuercert.pem")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		files map[string]string
		want  int
		warns string // a part of the log; empty: it is silent
		fails string // a part of the error
	}{
		"one":             {map[string]string{"a.pem": string(issuer)}, 1, "", ""},
		"two":             {map[string]string{"a.pem": string(issuer), "b.CRT": string(issuer)}, 2, "", ""},
		"none":            {nil, 0, "no EK trust anchors", ""},
		"another name":    {map[string]string{"a.pem": string(issuer), "README": "text"}, 1, "README", ""},
		"not an anchor":   {map[string]string{"a.pem": string(issuer), "b.pem": "text"}, 0, "", "b.pem"},
		"larger than any": {map[string]string{"a.pem": strings.Repeat(string(issuer), 1000)}, 0, "", "larger"},
	} {
		dir := t.TempDir()
		for name, text := range c.files {
			write(t, filepath.Join(dir, name), text)
		}
		var log bytes.Buffer
		a, err := readAnchors(dir, slog.New(slog.NewTextHandler(&log, nil)))
		if a.Len() != c.want || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: %d anchors, error %v, want %d and %q", name, a.Len(), err, c.want, c.fails)
		}
		if (log.Len() == 0) != (c.warns == "") || !strings.Contains(log.String(), c.warns) {
			t.Errorf("%s: the log is %q, want %q", name, &log, c.warns)
		}
	}
	var log bytes.Buffer
	if a, err := readAnchors(filepath.Join(t.TempDir(), "absent"), slog.New(slog.NewTextHandler(&log, nil))); err != nil || a.Len() != 0 || !strings.Contains(log.String(), "absent") {
		t.Errorf("a directory that is absent: %d anchors, error %v, log %q", a.Len(), err, &log)
	}
}
