package swtpm

import (
	"strings"
	"testing"
)

func TestTail(t *testing.T) {
	var got tail
	for range 1000 {
		if n, err := got.Write([]byte("swtpm: Data client disconnected\n")); n != 32 || err != nil {
			t.Fatal(n, err)
		}
	}
	got.Write([]byte("swtpm: last words\n"))
	if len(got.kept) != maxTail || !strings.HasSuffix(got.String(), "swtpm: last words") {
		t.Errorf("%d bytes, %q", len(got.kept), got.String())
	}
	if n := strings.Count(got.String(), "disconnected"); n > 1 { // one may be cut
		t.Errorf("%d lines of noise", n)
	}
}
