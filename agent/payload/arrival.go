package payload

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"quicklime/wire"
	"quicklime/wire/payload"
)

// arrival is a payload that the operator signed and whose ciphertext is on its way,
// or is all here.
type arrival struct {
	signed   payload.Signed
	share    payload.SealedShare
	file     *os.File // what is here of the ciphertext
	sum      hash.Hash
	received uint64
	chunk    uint64    // how much to ask for
	asked    time.Time // for the part that is under way

	shareAsked time.Time // in this session; zero: not yet
}

// newArrival goes on where an earlier one of the same manifest stopped.
func newArrival(dir string, s payload.Signed, share payload.SealedShare) (*arrival, error) {
	f, err := os.OpenFile(partialFile(dir, s), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	a := &arrival{signed: s, share: share, file: f, sum: sha256.New(), chunk: firstChunk}
	n, err := io.Copy(a.sum, io.LimitReader(f, int64(a.size())))
	a.received = uint64(n)
	if err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

func (a *arrival) digest() opened { return openedOf(a.signed) }

// size is that of the ciphertext.
func (a *arrival) size() uint64 { return a.signed.Manifest().SealedSize() }

func (a *arrival) complete() bool { return a.received == a.size() }

func (a *arrival) close() { a.file.Close() }

// add adds what came behind what is here.
func (a *arrival) add(b []byte) error {
	if uint64(len(b)) > a.size()-a.received {
		return fmt.Errorf("the ciphertext has more than %d bytes", a.size())
	}
	if _, err := a.file.WriteAt(b, int64(a.received)); err != nil {
		return err
	}
	a.sum.Write(b)
	a.received += uint64(len(b))
	return nil
}

// errCiphertext says that all of it is here and it is not what the operator signed.
var errCiphertext = errors.New("the ciphertext is not the one that the operator signed")

// check holds a whole ciphertext against the manifest. One that fails is forgotten.
func (a *arrival) check() error {
	if [sha256.Size]byte(a.sum.Sum(nil)) == a.signed.Manifest().Content {
		return nil
	}
	a.sum.Reset()
	a.received = 0
	return errors.Join(errCiphertext, a.file.Truncate(0))
}

// pace chooses how much to ask for next, by how long the last part took.
func (a *arrival) pace(took time.Duration) {
	switch {
	case took < swift:
		a.chunk = min(2*a.chunk, wire.MaxChunk)
	case took > slow:
		a.chunk = max(a.chunk/2, leastChunk)
	}
}

// next asks for what is missing: the next part of a ciphertext, one at a time, and
// the verifier's share for each that is complete and was not asked for.
func (k *Keeper) next() {
	for _, name := range slices.Sorted(maps.Keys(k.arriving)) {
		a := k.arriving[name]
		m := a.signed.Manifest()
		switch {
		case !a.complete() && k.fetching == "":
			k.fetching, a.asked = name, time.Now()
			k.say(wire.Fetch{Name: name, Version: m.Version, Offset: a.received, Bytes: a.chunk})
		case a.complete() && a.shareAsked.IsZero():
			k.ask(a)
		}
	}
}

// ask asks for the verifier's share, once the ciphertext is the right one.
func (k *Keeper) ask(a *arrival) {
	m := a.signed.Manifest()
	if err := a.check(); err != nil {
		k.drop(m.Name)
		k.refuse(m.Name, m.Version, err)
		return
	}
	a.shareAsked = time.Now()
	k.say(wire.Ask{Name: m.Name, Version: m.Version})
}

// drop forgets an arrival. The verifier offers it again in its next session.
func (k *Keeper) drop(name string) {
	a := k.arriving[name]
	a.close()
	os.Remove(a.file.Name())
	delete(k.arriving, name)
}

// chunk takes a part of a ciphertext.
func (k *Keeper) chunk(m wire.Chunk, raw []byte) {
	a, ok := k.arriving[m.Name]
	if !ok || k.fetching != m.Name || a.signed.Manifest().Version != m.Version || a.received != m.Offset {
		return // it was asked for over an older session
	}
	k.fetching = ""
	a.pace(time.Since(a.asked))
	if err := a.add(raw); err != nil {
		k.drop(m.Name)
		k.refuse(m.Name, m.Version, err)
	}
	k.next()
}

// verdict asks again for shares whose challenge came to nothing, and takes away what
// a machine that is not trusted is not to have, if it is configured so.
func (k *Keeper) verdict(v wire.Verdict) {
	if v.Trust == wire.Untrusted && k.cfg.WithdrawUntrusted {
		for _, name := range slices.Sorted(maps.Keys(k.held)) {
			k.withdraw(name, "the machine is not trusted any more")
		}
	}
	if v.Trust != wire.Trusted {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(k.arriving)) {
		if a := k.arriving[name]; a.complete() && time.Since(a.shareAsked) > askAgain {
			k.ask(a)
		}
	}
}
