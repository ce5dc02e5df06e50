package ima_test

import (
	"testing"

	"quicklime/ima"
	"quicklime/ima/chain"
	"quicklime/wire/pcr"
)

// breaks is a visitor with a fault, of which a server contains the panic.
type breaks struct{}

func (breaks) Visit(ima.Batch)        {}
func (breaks) Near([]byte) chain.Near { panic("a fault") }

// I10: what a replay that ended in a panic left is nothing to another, which may be of
// another machine's list.
func TestI10_APanicLeavesNothingToOthers(t *testing.T) {
	list := ima.NewFileEntry(pcr.SHA256, make([]byte, 32), "/theirs").AppendTo(nil)
	broken := func() {
		defer func() { _ = recover() }()
		ima.Replay(ima.NewState(pcr.SHA256), list, breaks{})
		t.Error("no panic")
	}
	for range 100 { // until one of them comes upon what another left
		broken()
		r, err := ima.Replay(ima.NewState(pcr.SHA256), list)
		if to := r.To(); err != nil || to.Entries() != 1 {
			t.Fatalf("%d entries, %v", to.Entries(), err)
		}
	}
}
