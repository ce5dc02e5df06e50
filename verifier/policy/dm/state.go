package dm

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/fxamacker/cbor/v2"
)

// State is what has been seen of devices since an epoch began, under one policy.
// The zero State has seen nothing. A State is immutable.
type State struct {
	devices []device // in the order of their loads; each key once
}

// device is a device that a rule judged and that was not removed since.
type device struct {
	_      struct{} `cbor:",toarray"`
	Key    string   // its name or uuid, as match_on says
	Rule   string
	Table  Hash // of the last load
	Active bool // that table was resumed
	Valid  bool // nothing is outstanding, and nothing forbidden was done
}

// Len returns the number of devices.
func (s State) Len() int { return len(s.devices) }

func (s State) find(key string) int {
	return slices.IndexFunc(s.devices, func(d device) bool { return d.Key == key })
}

// with returns s with d in the place of the device with its key, or behind all.
func (s State) with(d device) State {
	i := s.find(d.Key)
	if i < 0 {
		return State{append(slices.Clip(s.devices), d)}
	}
	all := slices.Clone(s.devices)
	all[i] = d
	return State{all}
}

// without returns s without the device with that key.
func (s State) without(key string) State {
	return State{slices.DeleteFunc(slices.Clone(s.devices), func(d device) bool { return d.Key == key })}
}

// MarshalBinary returns the one encoding of s, of at most MaxState bytes: CBOR
// (RFC 8949, section 4.2.1), an array of arrays
// [key, rule, table hash, active, valid].
func (s State) MarshalBinary() ([]byte, error) {
	if s.devices == nil {
		return encMode.Marshal([]device{})
	}
	return encMode.Marshal(s.devices)
}

// ParseState reads what MarshalBinary wrote, and nothing else.
func ParseState(b []byte) (State, error) {
	var s State
	if len(b) > MaxState {
		return s, fmt.Errorf("a device-mapper state of %d bytes, the limit is %d", len(b), MaxState)
	}
	if err := decMode.Unmarshal(b, &s.devices); err != nil {
		return State{}, fmt.Errorf("a device-mapper state: %w", err)
	}
	again, err := s.MarshalBinary()
	if err != nil || !bytes.Equal(again, b) {
		return State{}, errors.New("a device-mapper state: not in deterministic encoding")
	}
	seen := make(map[string]bool)
	for _, d := range s.devices {
		if seen[d.Key] {
			return State{}, fmt.Errorf("a device-mapper state: the device %s is there twice", quote(d.Key))
		}
		seen[d.Key] = true
	}
	if len(s.devices) == 0 {
		return State{}, nil
	}
	return s, nil
}

var (
	encMode = must(cbor.CoreDetEncOptions().EncMode())

	decMode = must(cbor.DecOptions{
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
		MaxNestedLevels:  4,
		MaxArrayElements: MaxDevices,
		UTF8:             cbor.UTF8RejectInvalid,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // options are constants: this fails at the first start or never
	}
	return v
}
