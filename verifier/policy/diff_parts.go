package policy

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"fmt"
	"maps"
	"slices"
	"strings"

	"quicklime/ima/digsig"
)

// KeyName names a verification key for a person: kind, size, id and what its
// fingerprint begins with.
func KeyName(k *digsig.Key) string {
	kind := ""
	switch p := k.Public.(type) {
	case *rsa.PublicKey:
		kind = fmt.Sprintf("RSA %d", p.N.BitLen())
	case *ecdsa.PublicKey:
		kind = "ECDSA " + p.Params().Name
	}
	return fmt.Sprintf("%s, id %08x, SPKI sha256:%x", kind, k.ID, k.Fingerprint)
}

func keyNames(c Contents) (names []string) {
	for _, k := range c.Keys {
		names = append(names, KeyName(k))
	}
	return names
}

// without returns the elements of a that are not in b, each once.
func without(a, b []string) (left []string) {
	seen := make(map[string]bool, len(b))
	for _, s := range b {
		seen[s] = true
	}
	for _, s := range a {
		if !seen[s] {
			seen[s] = true
			left = append(left, s)
		}
	}
	return left
}

// same reports whether two policies deny the same.
func (d *deny) same(other *deny) bool {
	expressions := func(d *deny) (all []string) {
		for _, x := range d.paths {
			all = append(all, x.String())
		}
		return all
	}
	return maps.Equal(d.digests, other.digests) && slices.Equal(expressions(d), expressions(other))
}

func orNone(d *DeviceContents) *DeviceContents {
	if d == nil {
		return new(DeviceContents)
	}
	return d
}

func (d *DeviceContents) text(name string) (string, bool) {
	for _, r := range d.Rules {
		if r.Name == name {
			return r.Text, true
		}
	}
	return "", false
}

// order returns the names of the rules that other has, too.
func (d *DeviceContents) order(other *DeviceContents) string {
	var names []string
	for _, r := range d.Rules {
		if _, ok := other.text(r.Name); ok {
			names = append(names, r.Name)
		}
	}
	return strings.Join(names, ", ")
}

func valueChange(name, before, after string) Change {
	c := Change{Name: name}
	if before != "" {
		c.Removed = []string{before}
	}
	if after != "" {
		c.Added = []string{after}
	}
	return c
}
