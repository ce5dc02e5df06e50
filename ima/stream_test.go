package ima_test

import (
	"bytes"
	"errors"
	"testing"

	"quicklime/ima"
	"quicklime/wire/pcr"
)

// FuzzStream has a list arrive in pieces of one size: what comes of it must be
// what comes of the whole.
func FuzzStream(f *testing.F) {
	for _, name := range []string{"direct-6.1-ima-ng", "direct-6.1-ima-sig"} {
		for _, size := range []uint16{1, 7, 100, 1200} {
			f.Add(readList(f, name), size)
		}
	}
	f.Fuzz(func(t *testing.T, list []byte, size uint16) {
		all := &visits{t: t}
		whole, want := ima.Replay(ima.NewState(pcr.SHA256), list, all)
		pieces := &visits{t: t}
		streamed, err := inPieces(list, int(size)+1, pieces)
		if !errors.Is(err, want) && (err == nil || want == nil || err.Error() != want.Error()) {
			t.Fatalf("in pieces %v, whole %v", err, want)
		}
		if streamed != whole || !bytes.Equal(pieces.list, all.list) {
			t.Errorf("in pieces %d bytes to %+v, whole %d to %+v", len(pieces.list), streamed, len(all.list), whole)
		}
	})
}

func inPieces(list []byte, size int, v ima.Visitor) (ima.Replayed, error) {
	s := ima.NewStream(ima.NewState(pcr.SHA256), v)
	for len(list) > 0 {
		n := min(size, len(list))
		if _, err := s.Write(list[:n]); err != nil {
			return ima.Replayed{}, err
		}
		list = list[n:]
	}
	return s.Finish()
}
