package store_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"quicklime/verifier/store"
	"quicklime/verifier/store/storetest"
	"quicklime/verifier/verifiertest"
)

// I27: the verifier's share of a payload that was withdrawn, or replaced, is not in the
// database's file any more, of which somebody may have a copy, and the machine's TPM.
func TestI27_SharesOfThePastAreErased(t *testing.T) {
	path := filepath.Join(t.TempDir(), "verifier.db")
	share := func(n byte) []byte { return bytes.Repeat([]byte{n, 0xa5, 0x3c, n}, 8) }
	t.Run("machine", func(t *testing.T) {
		s := storetest.Open(t, path, store.Routing{})
		enrol(t, s, verifiertest.New(t), "")
		for n := range byte(4) {
			p := newPayload(t, uint64(n)+1, 10)
			p.upload.Share = share(n)
			p.send(t, s)
		}
		if err := s.WithdrawPayload(t.Context(), verifiertest.AgentID, "db"); err != nil {
			t.Fatal(err)
		}
		kept := newPayload(t, 1, 10, named("kept"))
		kept.upload.Share = share(9)
		kept.send(t, s)
	})
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range byte(4) {
		if bytes.Contains(b, share(n)) {
			t.Errorf("the share of version %d is there", n+1)
		}
	}
	if !bytes.Contains(b, share(9)) {
		t.Error("the share that is in force is not: the test sees nothing")
	}
}
