package appraise

import (
	"bytes"
	"crypto/sha256"

	"quicklime/ima"
	"quicklime/ima/chain"
	"quicklime/verifier/policy"
)

// shapeOf returns the shape of a template whose digest alone can say that a policy allows
// a file: what is hashed has one reading, that of a listed file without a signature.
func shapeOf(template []byte) (s policy.Shape, ok bool) {
	switch string(template) {
	case "ima-ng":
		return policy.ShapeNG, true
	case "ima-sig":
		return policy.ShapeSig, true
	case "ima-ngv2":
		return policy.ShapeNGv2, true
	case "ima-sigv2":
		return policy.ShapeSigV2, true
	}
	return 0, false
}

// quick judges the entries from one on that have its template, by their digests,
// and takes a look at those only that the policy does not list. It returns how many
// they are: none if it is not for this one, or this template, or this policy.
func (j *judge) quick(b *ima.Batch, at int) int {
	first := &b.Entries[at]
	shape, ok := j.shape(first.Template)
	if !ok || b.First+uint64(at) == 0 {
		return 0
	}
	n := 0
	if b.Alike {
		n = len(b.Entries) - at
	}
	for ; at+n < len(b.Entries); n++ {
		if e := &b.Entries[at+n]; e.Violation() || !bytes.Equal(e.Template, first.Template) {
			break
		}
	}
	var room [128]uint16
	miss := j.policy.Unlisted(shape, b.Sums[at:at+n], room[:0])
	j.result.Entries += uint64(n - len(miss))
	for _, m := range miss {
		i := at + int(m)
		j.entry(b.First+uint64(i), b.Entries[i], &b.Sums[i])
	}
	return n
}

// shape returns that of a template whose entries the policy may list.
func (j *judge) shape(template []byte) (s policy.Shape, ok bool) {
	if j.policy == nil || len(j.policy.Formats()) > 0 || j.learned.legacy {
		return s, false
	}
	return shapeOf(template)
}

// Near implements ima.Finder.
func (j *judge) Near(template []byte) chain.Near {
	shape, ok := j.shape(template)
	if !ok {
		return chain.Near{}
	}
	return j.policy.Near(shape)
}

// recalls reports whether the same template was looked at before, and allowed by
// what still allows it.
func (j *judge) recalls(i uint64, e ima.Entry, sum *[sha256.Size]byte) bool {
	if !j.memorable(i, e, sum) {
		return false
	}
	by, ok := j.policy.Recall(sum, e.Template)
	return ok && (by == policy.By{} || j.vouches(by))
}

// remember notes that an entry was allowed, if it would be for every machine.
func (j *judge) remember(i uint64, e ima.Entry, sum *[sha256.Size]byte, events []ima.Event) {
	if !j.memorable(i, e, sum) || j.two || events[0].Buffer != nil || string(events[0].Name) == ima.BootAggregate {
		return
	}
	var by policy.By
	if j.by != nil {
		by = policy.By{ID: j.by.ID, Fingerprint: j.by.Fingerprint}
	}
	j.policy.Remember(sum, e.Template, by)
}

// memorable reports whether what there is to say of an entry depends on its
// template and the policy alone, and on the keys that vouch.
func (j *judge) memorable(i uint64, e ima.Entry, sum *[sha256.Size]byte) bool {
	return sum != nil && i > 0 && j.policy != nil && len(j.policy.Formats()) == 0 && !e.Violation() && e.Legacy() == j.learned.legacy
}

// vouches reports whether a key vouches for files now, under the id by.ID.
func (j *judge) vouches(by policy.By) bool {
	for _, r := range j.vouch {
		if r.Has(by.ID, by.Fingerprint) {
			return true
		}
	}
	return false
}
