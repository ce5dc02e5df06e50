// Package wiretest is what tests share of a peer that does not mean well and of one
// whose log is read: frames that must be refused, and a Log. It is imported by
// tests only.
package wiretest

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"quicklime/wire"
	"quicklime/wire/strictcbor"
)

// Frame is bytes that no peer of this protocol sends.
type Frame struct {
	Name  string
	Bytes []byte
}

// frame puts a header (type u8 | length u32) before a body.
func frame(t wire.Type, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{byte(t)}, uint32(len(body))), body...)
}

// Hostile returns frames in the place of an honest message, whose CBOR (RFC 8949)
// is a map of fewer than 23 pairs. Each must be refused.
func Hostile(t testing.TB, honest wire.Message) []Frame {
	t.Helper()
	whole, err := wire.AppendFrame(nil, honest)
	if err != nil {
		t.Fatal(err)
	}
	body := whole[5:]
	head, pairs := body[0], body[1:]
	if head < 0xa0 || head >= 0xa0+23 {
		t.Fatalf("%T is no short map: %#x", honest, head)
	}
	another := func(pair ...byte) []byte { return slices.Concat([]byte{head + 1}, pairs, pair) }
	huge := func(major byte) []byte { return []byte{0xa1, 1, major | 27, 0x7f, 255, 255, 255, 255, 255, 255, 255} }
	frames := []Frame{
		{"length over the limit", binary.BigEndian.AppendUint32([]byte{byte(honest.Type())}, wire.MaxFrame+1)},
		{"length of 4 GiB", binary.BigEndian.AppendUint32([]byte{byte(honest.Type())}, 1<<32-1)},
		{"unknown type", frame(0x7f, body)},
		{"type 0", frame(0, body)},
	}
	for name, b := range map[string][]byte{
		"no bytes":                 nil,
		"null":                     {0xf6},
		"an empty map":             {0xa0},
		"a trailing byte":          append(bytes.Clone(body), 0),
		"the message twice":        slices.Concat(body, body),
		"a map header of two":      slices.Concat([]byte{0xb8, head - 0xa0}, pairs),
		"a map without length":     slices.Concat([]byte{0xbf}, pairs, []byte{0xff}),
		"a key twice":              another(1, 1),
		"a key that nobody knows":  another(0x18, 0x7f, 1),
		"a tag":                    slices.Concat([]byte{0xd9, 0xd9, 0xf7}, body),
		"a float":                  {0xa1, 1, 0xf9, 0x3c, 0},
		"text that is not UTF-8":   {0xa1, 2, 0x61, 0xff},
		"an array of 2^63":         huge(0x80),
		"a map of 2^63":            huge(0xa0),
		"bytes of 2^63":            huge(0x40),
		"text of 2^63":             huge(0x60),
		"arrays, 30,000 deep":      bytes.Repeat([]byte{0x81}, 30_000),
		"tags, 30,000 deep":        bytes.Repeat([]byte{0xc1}, 30_000),
		"open arrays, 30,000 deep": bytes.Repeat([]byte{0x9f}, 30_000),
	} {
		frames = append(frames, Frame{name, frame(honest.Type(), b)})
	}
	return frames
}

// Unchecked is the frame of a message that its own checks may refuse.
func Unchecked(t testing.TB, m wire.Message) []byte {
	t.Helper()
	body, err := strictcbor.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return frame(m.Type(), body)
}

// Cuts returns every beginning of an honest frame that is not all of it.
func Cuts(t testing.TB, honest wire.Message) (cuts [][]byte) {
	t.Helper()
	whole, err := wire.AppendFrame(nil, honest)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n < len(whole); n++ {
		cuts = append(cuts, whole[:n])
	}
	return cuts
}
