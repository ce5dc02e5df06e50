package appraise

import (
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"quicklime/ima/digsig"
	"quicklime/verifier/policy/dm"
)

// Learned is what the entries of an epoch so far have taught, under the policy that
// judged them, of what later ones are judged by. The zero Learned is what is known
// at the beginning of a list.
type Learned struct {
	legacy  bool // entry 0 is of the legacy template
	rings   digsig.Rings
	devices dm.State
}

// stored is a Learned as it is kept.
type stored struct {
	Legacy  bool               `cbor:"1,keyasint"`
	Keys    []digsig.StoredKey `cbor:"2,keyasint"`
	Devices []byte             `cbor:"3,keyasint"`
}

// MarshalBinary returns what ParseLearned reads; nothing for the zero Learned.
func (l Learned) MarshalBinary() ([]byte, error) {
	if !l.legacy && len(l.rings) == 0 && l.devices.Len() == 0 {
		return nil, nil
	}
	devices, err := l.devices.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return cbor.Marshal(stored{l.legacy, l.rings.Stored(), devices})
}

// ParseLearned reads what MarshalBinary wrote.
func ParseLearned(b []byte) (l Learned, err error) {
	if len(b) == 0 {
		return l, nil
	}
	var s stored
	if err := cbor.Unmarshal(b, &s); err != nil {
		return l, fmt.Errorf("what was learned: %w", err)
	}
	l.legacy = s.Legacy
	if l.rings, err = digsig.Restore(s.Keys); err != nil {
		return Learned{}, fmt.Errorf("what was learned: %w", err)
	}
	if l.devices, err = dm.ParseState(s.Devices); err != nil {
		return Learned{}, fmt.Errorf("what was learned: %w", err)
	}
	return l, nil
}
