// Package strictcbor writes CBOR (RFC 8949) in its core deterministic encoding
// (section 4.2.1), and reads nothing else: each value of a Go type has one string
// of bytes.
//
// There are no tags, no items of indefinite length, no null, no unknown or
// repeated keys and no text that is not UTF-8. A byte string or an array that is
// absent is an empty one.
//
// The package is pure: plain data in, plain data out.
package strictcbor

import (
	"bytes"
	"errors"

	"github.com/fxamacker/cbor/v2"
)

// Bounds on what is read (I04). None of our messages comes near them, but for
// the digests of all PCRs in all banks: 96.
const (
	maxDepth = 4
	maxArray = 128 // elements
	maxMap   = 16  // pairs
)

var errEncoding = errors.New("not in deterministic encoding")

// Marshal returns the encoding of v.
func Marshal(v any) ([]byte, error) { return encMode.Marshal(v) }

// Unmarshal reads b into the zero value that v points to, and insists that b is
// that value's one encoding: bytes that read as a message but are not what its
// sender would write are somebody probing.
func Unmarshal(b []byte, v any) error {
	if err := decMode.Unmarshal(b, v); err != nil {
		return err
	}
	again, err := encMode.Marshal(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, b) {
		return errEncoding
	}
	return nil
}

var (
	encMode = must(func() (cbor.EncMode, error) {
		o := cbor.CoreDetEncOptions()
		o.NilContainers = cbor.NilContainerAsEmpty
		return o.EncMode()
	}())

	decMode = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxNestedLevels:   maxDepth,
		MaxArrayElements:  maxArray,
		MaxMapPairs:       maxMap,
		UTF8:              cbor.UTF8RejectInvalid,
		IntDec:            cbor.IntDecConvertNone,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // options are constants: this fails at the first start or never
	}
	return v
}
