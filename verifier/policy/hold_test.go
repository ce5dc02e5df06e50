package policy

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"
	"testing"

	"quicklime/wire/pcr"
)

// A Hold is told once of each set that is searched, whoever is first, and what it
// returns is searched.
func TestHoldIsToldOnce(t *testing.T) {
	form := mustParse(t, whole).Compiled()
	var mu sync.Mutex
	var copies [][]byte
	p, err := Load(form, func(_ *Policy, set []byte) []byte {
		mu.Lock()
		defer mu.Unlock()
		copies = append(copies, bytes.Clone(set))
		return copies[len(copies)-1]
	})
	if err != nil {
		t.Fatal(err)
	}
	p.JudgeFile([]byte("/bin/a"), pcr.SHA256, values[0])
	if !bytes.Equal(p.Compiled(), form) || len(copies) > 0 {
		t.Errorf("it is told of %d sets that nobody searches", len(copies))
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for shape := range shapes {
				p.Unlisted(shape, digests(3, 1), nil)
			}
		})
	}
	all.Wait()
	if len(copies) != int(shapes) {
		t.Errorf("of %d shapes it is told %d times", shapes, len(copies))
	}
	for shape := range shapes {
		slots := p.Near(shape).Slots
		if !slices.ContainsFunc(copies, func(c []byte) bool { return &c[len(c)-1] == &slots[len(slots)-1] }) {
			t.Errorf("shape %d is searched elsewhere", shape)
		}
	}
	if !bytes.Equal(p.Compiled(), form) {
		t.Error("the compiled form is another one")
	}
}

// What a Hold has no room for is searched where it is, and so is what it got wrong.
func TestSetsThatAreNotHeld(t *testing.T) {
	form := mustParse(t, whole).Compiled()
	for name, hold := range map[string]Hold{
		"nothing": func(*Policy, []byte) []byte { return nil },
		"cut":     func(_ *Policy, set []byte) []byte { return bytes.Clone(set[:len(set)-1]) },
		"longer":  func(_ *Policy, set []byte) []byte { return append(bytes.Clone(set), 0) },
		"of another count": func(_ *Policy, set []byte) []byte {
			set = bytes.Clone(set)
			binary.LittleEndian.PutUint64(set, 1<<40)
			return set
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Load(form, hold)
			if err != nil {
				t.Fatal(err)
			}
			for _, shape := range stored {
				stays := p.sets[shape].form.slots
				if slots := p.Near(shape).Slots; &slots[0] != &stays[0] || len(slots) != len(stays) {
					t.Errorf("shape %d is searched elsewhere", shape)
				}
			}
			ask(p)
		})
	}
}
