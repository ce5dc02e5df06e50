package policy

import (
	"runtime"

	"quicklime/wire/pcr"
)

// Verdict is a policy's opinion of one file.
type Verdict uint8

// The verdicts. The zero Verdict allows nothing.
const (
	NotInPolicy Verdict = iota // the path is not listed
	WrongDigest                // the path is listed, with other digests
	Excluded                   // an exclusion matches the path: nobody judged the file
	Allowed                    // the digest is listed for the path
)

// String returns the verdict in words.
func (v Verdict) String() string {
	switch v {
	case NotInPolicy:
		return "not in policy"
	case WrongDigest:
		return "wrong digest"
	case Excluded:
		return "excluded"
	case Allowed:
		return "allowed"
	}
	return "invalid verdict"
}

// OK reports whether the policy has nothing against the file.
func (v Verdict) OK() bool { return v == Allowed || v == Excluded }

// Decision is a verdict and what a person needs to understand it.
type Decision struct {
	Verdict  Verdict
	Expected []string // of WrongDigest: the listed digests as "sha256:…", the first MaxExpected of them
	More     int      // digests that Expected leaves out
}

// JudgeFile judges a file event of a measurement list: name is the path as the
// kernel wrote it, digest the file's digest in algorithm, which is 0 if it is
// none that the project knows and then equals no listed digest.
//
// A listed digest allows also where an exclusion matches; the outcome is that of
// trying exclusions first, and most files are spared them.
//
// For boot_aggregate, NotInPolicy means that the policy adds nothing to the
// comparison with the PCRs.
func (p *Policy) JudgeFile(name []byte, algorithm pcr.Bank, digest []byte) Decision {
	defer runtime.KeepAlive(p)
	sums, listed := p.files.find(name)
	switch {
	case listed && sums.has(algorithm, digest):
		return Decision{Verdict: Allowed}
	case p.excluded(name):
		return Decision{Verdict: Excluded}
	case listed:
		shown, more := sums.show(MaxExpected)
		return Decision{Verdict: WrongDigest, Expected: shown, More: more}
	}
	return Decision{Verdict: NotInPolicy}
}

// excluded reports whether an exclusion matches name, which must be an absolute
// path: other names are chosen by whoever is measured (I17).
func (p *Policy) excluded(name []byte) bool {
	if len(name) == 0 || name[0] != '/' {
		return false
	}
	for _, x := range p.excludes {
		if x.Match(name) {
			return true
		}
	}
	return false
}
