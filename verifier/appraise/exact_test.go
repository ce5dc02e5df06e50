package appraise_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"quicklime/ima"
	"quicklime/verifier/appraise"
	"quicklime/verifier/policy"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// unmeasured is a template that no list has, nor any of as many fields. Under a policy
// that accepts it every entry is judged by itself, and nothing is remembered.
const unmeasured = `,"ima":{"templates":["d-ng|n-ng|evmsig|iuid|igid|imode|modsig"],"ignored_keyrings":[".platform"]}`

// twins are a policy with a rule of every kind, and the same where every entry is
// judged by itself. Both list one key under two ids.
type twins struct {
	quick, exact *policy.Policy
	certificates [][]byte
	digests      [][]byte
	signatures   [][]byte // one of each digest, which all machines have
}

func newTwins(t testing.TB, s signer) twins {
	w := twins{certificates: [][]byte{s.certificate, s.under(t, []byte("another id"))}, digests: [][]byte{good, good, bad, denied}}
	for _, d := range w.digests {
		w.signatures = append(w.signatures, s.sign(d))
	}
	more := s.member() + fmt.Sprintf(`,"excludes":["/tmp/.*",".*[0-9]"],"keyrings":{".ima":["%[1]x","%[2]x"],".blacklist":["%[1]x","%[2]x"]},"ima-buf":{"kexec-cmdline":["%[3]x"]},
		"deny":{"digests":["%[4]x"],"paths":["/opt/.*"]}`, pcr.SHA256.Sum(w.certificates[0]), pcr.SHA256.Sum(w.certificates[1]), pcr.SHA256.Sum([]byte("quiet")), denied)
	paths := []string{"/bin/a", "/bin/a b", "/opt/listed", ima.BootAggregate}
	w.quick, w.exact = allow(t, more+`,"ima":{"ignored_keyrings":[".platform"]}`, paths...), allow(t, more+unmeasured, paths...)
	return w
}

// anything makes an entry as a machine may have it whose every byte is its owner's.
func (h *hostile) anything(w twins) ima.Entry {
	templates := []string{"ima-ng", "ima-sig", "ima-ngv2", "ima-sigv2"}
	if h.IntN(40) == 0 {
		templates = names[1:]
	}
	h.template = templates[h.IntN(len(templates))]
	paths := []string{"/bin/a", "/bin/a_b", "/bin/a b", "/opt/listed", "/tmp/x", "/lib/7", "/bin/signed", "bin/a", ima.BootAggregate}
	d, name := h.IntN(len(w.digests)), paths[h.IntN(len(paths))]
	var signature []byte
	if h.IntN(3) == 0 {
		signature = w.signatures[d]
	}
	e := h.file(w.digests[d], name, signature)
	switch h.IntN(20) {
	case 0:
		e = loaded([]string{".ima", ".blacklist", ".platform"}[h.IntN(3)], w.certificates[h.IntN(2)])
	case 1:
		e = loaded([]string{"kexec-cmdline", "/bin/a", ".ima"}[h.IntN(3)], [][]byte{w.certificates[0], []byte("quiet")}[h.IntN(2)])
	case 5:
		e.Digest = make([]byte, 20)
	case 2:
		e.Template = []byte(names[1:][h.IntN(len(names)-1)])
	case 3:
		h.shift(&e)
	case 4:
		h.move(&e)
	}
	return e
}

// alike judges one random list both ways, as it comes in pieces.
func (h *hostile) alike(w twins) {
	h.template = "ima-sig"
	h.alone(h.file(pcr.SHA256.Sum(bytes.Repeat(h.Boot, 10)), ima.BootAggregate, nil))
	var pool []ima.Entry
	for range 1 + h.IntN(30) {
		pool = append(pool, h.anything(w))
	}
	for range h.IntN(400) {
		h.Measure(pool[h.IntN(len(pool))])
	}
	judged := func(p *policy.Policy, r *rand.Rand) wire.Result {
		ev, list := h.Evidence(0)
		b, _ := h.outcome(h.Standing(), ev, nil, p)
		var a appraise.Appraisal
		a.Begin(b, p)
		for len(list) > 0 {
			n := 1 + r.IntN(min(len(list), 20<<10))
			a.Write(list[:n])
			list = list[n:]
		}
		o := a.Outcome(b)
		if !o.Accepted {
			h.t.Fatalf("not accepted: %+v", o.Result)
		}
		return o.Result
	}
	want, got := judged(w.exact, h.Rand), judged(w.quick, h.Rand)
	want.Runtime = got.Runtime
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(wire.Result{})); diff != "" {
		h.t.Fatalf("judged together (-alone +together):\n%s", diff)
	}
}

// I16, I17: what is judged by template digests, many at a time, and by what was
// remembered of other machines is judged as every entry by itself.
func TestI16_I17_QuickJudgementIsExact(t *testing.T) {
	s := newSigner(t)
	w := newTwins(t, s)
	n := uint64(400)
	if testing.Short() {
		n = 40
	}
	for seed := range n {
		h := &hostile{machine: newMachine(t), Rand: rand.New(rand.NewPCG(seed, 4)), signer: s}
		h.alike(w)
	}
}
