package payload

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"quicklime/wire"
	"quicklime/wire/payload"
)

// offers goes through everything that the verifier has for this machine.
func (k *Keeper) offers(m wire.Offers) {
	offered := map[string]bool{}
	for _, o := range m.Offers {
		if name, ok := k.offer(o); ok {
			offered[name] = true
		}
	}
	k.sayGone(offered)
	for _, name := range slices.Sorted(maps.Keys(k.held)) {
		if !offered[name] {
			k.withdraw(name, "the operator has withdrawn it")
		}
	}
	for name, a := range k.arriving {
		if !offered[name] {
			a.close()
			delete(k.arriving, name)
		}
	}
	k.sweep()
	k.fetching = "" // it was asked for over an older session, perhaps
	for _, a := range k.arriving {
		a.shareAsked = time.Time{}
	}
	k.next()
}

// offer looks at one payload, and returns its name if that is one of the operator's.
func (k *Keeper) offer(o wire.Offer) (name string, ok bool) {
	s, err := payload.Verify(o.Manifest, k.cfg.Key, k.cfg.Agent)
	if err != nil {
		k.refuseUnsigned(o, err)
		return "", false
	}
	m := s.Manifest()
	for _, known := range []map[string]held{k.held, k.failed} {
		if h, ok := known[m.Name]; ok && h.opened == openedOf(s) {
			k.say(wire.Receipt{Receipt: h.Receipt})
			return m.Name, true
		}
	}
	if a, ok := k.arriving[m.Name]; ok && a.digest() == openedOf(s) {
		return m.Name, true
	}
	share := payload.SealedShare{Object: o.Object, Secret: o.Secret}
	if err := k.acceptable(s, share); err != nil {
		k.refuse(m.Name, m.Version, err)
		return m.Name, true // what is held of that name stays
	}
	if old, ok := k.arriving[m.Name]; ok {
		old.close()
		delete(k.arriving, m.Name)
	}
	a, err := newArrival(k.cfg.Dir, s, share)
	if err != nil {
		k.refuse(m.Name, m.Version, err)
		return m.Name, true
	}
	k.cfg.Log.Info("a payload is offered", "payload", m.Name, "version", m.Version, "bytes", m.Size, "here", a.received)
	k.arriving[m.Name] = a
	return m.Name, true
}

// refuseUnsigned refuses an offer that is not the operator's. The name is the
// verifier's word: nothing that is held is touched because of it.
func (k *Keeper) refuseUnsigned(o wire.Offer, why error) {
	if m, err := payload.Read(o.Manifest); err == nil {
		k.refuse(m.Name, m.Version, why)
		return
	}
	k.cfg.Log.Error("an offer is refused", "error", why)
}

// errExpired is what becomes of every payload that nobody withdraws.
var errExpired = errors.New("it has expired")

// acceptable holds a payload that the operator signed against what it may be.
func (k *Keeper) acceptable(s payload.Signed, share payload.SealedShare) error {
	if now := k.cfg.Now(); !now.Before(s.Manifest().Expires) {
		return errExpired
	}
	if err := k.versions.check(s); err != nil {
		return err
	}
	d, err := share.Digest()
	if err != nil {
		return err
	}
	if d != s.Manifest().Share {
		return errors.New("the sealed share is not the one that the operator signed")
	}
	return nil
}

// sweep removes ciphertext that nobody waits for.
func (k *Keeper) sweep() {
	entries, err := os.ReadDir(filepath.Join(k.cfg.Dir, partialDir))
	if err != nil {
		k.cfg.Log.Error("old parts of payloads stay", "error", err)
		return
	}
	wanted := map[string]bool{}
	for _, a := range k.arriving {
		wanted[a.digest().Manifest] = true
	}
	for _, e := range entries {
		if !wanted[e.Name()] {
			os.Remove(filepath.Join(k.cfg.Dir, partialDir, e.Name()))
		}
	}
}

// words is an error for the operator: printable, and as long as it may be.
func words(err error) string {
	s := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, err.Error())
	if wire.Printable(s, wire.MaxPayloadReason) {
		return s
	}
	q := fmt.Sprintf("%+q", s)
	return q[:min(len(q), wire.MaxPayloadReason)]
}

func partialFile(dir string, s payload.Signed) string {
	d := s.Digest()
	return filepath.Join(dir, partialDir, hex.EncodeToString(d[:]))
}
