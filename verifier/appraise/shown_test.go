package appraise_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"quicklime/ima"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// I04: a digest by a hash that nobody knows may be of any length, and is shown in
// part.
func TestI04_DigestThatIsShownIsBounded(t *testing.T) {
	field := func(b []byte) []byte { return append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...) }
	e := ima.NewFileEntry(pcr.SHA256, good, "/bin/a")
	e.Data = slices.Concat(field(append([]byte("sm9:\x00"), bytes.Repeat([]byte{1}, 10_000)...)), field([]byte("/bin/a\x00")))
	m := newMachine(t)
	m.Measure(e)
	_, o := m.appraise(m.Standing(), 0, allow(t, "", "/bin/a"))
	want(t, o, true, wire.IMAWrongDigest)
	if n := len(o.Result.Failures[0].Got); n > 200 {
		t.Errorf("%d bytes of a digest are shown", n)
	}
}
