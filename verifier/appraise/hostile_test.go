package appraise_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"quicklime/ima"
	"quicklime/verifier/policy"
	"quicklime/wire/pcr"
)

// A hostile is a machine whose kernel measured a true list and quoted it, and whose
// agent sends another.
type hostile struct {
	machine
	*rand.Rand
	signer   signer
	template string // that the kernel has for files
	ignores  bool   // the policy ignores all keyrings
}

// truth is an entry that the kernel writes, and whether the policy has nothing
// against it.
type truth struct {
	entry ima.Entry
	ok    bool
}

// names are what a list may call a template.
var names = []string{"ima", "ima-ng", "ima-sig", "ima-ngv2", "ima-sigv2", "ima-buf", "ima-modsig", "evm-sig", "d-ng|n-ng", "d-ng|sig|n-ng", "d-ng|n-ng|iuid", "n-ng|d-ng", "d|n", "", "ima-ng\x00", "IMA-NG"}

// hostilePolicy has a rule of every kind. The custom template reads other fields from
// the same bytes.
func hostilePolicy(t testing.TB, s signer, ignored, templates string) *policy.Policy {
	return allow(t, s.member()+fmt.Sprintf(`,"excludes":[".*/tmp/x"],"keyrings":{".ima":["%x"]},"ima-buf":{"kexec-cmdline":["%x"]},
		"deny":{"digests":["%x"],"paths":["/opt/.*"]},"ima":{"ignored_keyrings":["%s"],"templates":[%s]}`,
		pcr.SHA256.Sum(s.certificate), pcr.SHA256.Sum([]byte("quiet")), denied, ignored, templates), "/bin/a", "/opt/listed")
}

func hostilePolicies(t testing.TB, s signer) []*policy.Policy {
	const custom = `"d-ng|sig|n-ng"`
	return []*policy.Policy{hostilePolicy(t, s, ".platform", custom), hostilePolicy(t, s, "*", custom), hostilePolicy(t, s, ".platform", "")}
}

var denied = pcr.SHA256.Sum([]byte("denied"))

// field is a field of template data, with its length.
func field(b []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// file makes a file event as the machine's template has it.
func (h *hostile) file(digest []byte, name string, signature []byte) ima.Entry {
	return h.appended(digest, name, signature, nil)
}

// appended is file, with the digest of a file without its appended signature where the
// template has a place for it.
func (h *hostile) appended(digest []byte, name string, signature, without []byte) ima.Entry {
	prefix := "sha256:\x00"
	if h.template == "ima-ngv2" || h.template == "ima-sigv2" {
		prefix = "ima:" + prefix
	}
	data := slices.Concat(field(append([]byte(prefix), digest...)), field(append([]byte(name), 0)))
	switch h.template {
	case "ima-sig", "ima-sigv2":
		data = append(data, field(signature)...)
	case "ima-modsig":
		if without != nil {
			without = append([]byte("sha256:\x00"), without...)
		}
		data = slices.Concat(data, field(signature), field(without), field(nil))
	case "evm-sig":
		data = slices.Concat(data, field(nil), field(nil), field(nil), field(nil), field(make([]byte, 4)), field(make([]byte, 4)), field(make([]byte, 2)))
	}
	return ima.Entry{PCR: pcr.IMA, Digest: pcr.SHA1.Sum(data), Template: []byte(h.template), Data: data}
}

// signs reports whether the machine's template has a place for a signature.
func (h *hostile) signs() bool {
	return slices.Contains([]string{"ima-sig", "ima-sigv2", "ima-modsig"}, h.template)
}

// appends reports whether it has one for the digest of a file without its appended
// signature.
func (h *hostile) appends() bool { return h.template == "ima-modsig" }

// measured makes an entry of one of the kinds that there are.
func (h *hostile) measured() truth {
	evil := h.signer.certificate
	sum := pcr.SHA256.Sum
	kinds := []func() truth{
		func() truth { return truth{h.file(good, "/bin/a", nil), true} },
		func() truth { return truth{h.file(bad, "/tmp/x", nil), true} },
		func() truth { return truth{loaded("kexec-cmdline", []byte("quiet")), true} },
		func() truth { return truth{loaded(".ima", evil), true} },
		func() truth { return truth{loaded(".platform", evil), true} },
		func() truth { return truth{h.file(bad, "/bin/signed", h.signer.sign(bad)), h.signs()} },
		func() truth { return truth{h.file(bad, "/bin/a", nil), false} },
		func() truth { return truth{h.file(good, "/bin/new", nil), false} },
		func() truth { return truth{h.file(good, "bin/a", nil), false} },
		func() truth { return truth{h.file(good, "/bin/a\n", nil), false} },
		func() truth { return truth{h.file(bad, "/\xff\n/tmp/x", nil), true} },
		func() truth { return truth{h.file(bad, "var/tmp/x", nil), false} },
		func() truth { return truth{h.file(denied, "/tmp/x", nil), false} },
		func() truth { return truth{h.appended(good, "/bin/a", nil, denied), !h.appends()} },
		func() truth { return truth{h.appended(bad, "/tmp/x", nil, denied), !h.appends()} },
		func() truth {
			return truth{h.appended(bad, "/bin/signed", h.signer.sign(bad), denied), h.signs() && !h.appends()}
		},
		func() truth { return truth{h.file(good, "/bin/a\xff", nil), false} },
		func() truth { return truth{h.file(good, "/bin/a\x00/bin/new", nil), false} },
		func() truth { return truth{h.file(good, "", nil), false} },
		func() truth { return truth{h.file(nil, "/bin/a", nil), false} },
		func() truth { return truth{h.file(good, "/opt/listed", nil), false} },
		func() truth { return truth{loaded("kexec-cmdline", []byte("loud")), false} },
		func() truth { return truth{loaded(".evm", evil), h.ignores} },
		func() truth { return truth{loaded("/bin/a", []byte("quiet")), false} },
		func() truth { return truth{h.file(sum(evil), "/bin/evil", evil), false} },
		func() truth {
			return truth{h.file(sum([]byte("quiet")), "/bin/kexec-cmdline", []byte("quiet")), false}
		},
		func() truth { return truth{h.file(bad, "/bin/evil", []byte("/bin/a\x00")), false} },
		func() truth { return truth{h.file(good, "/bin/evil", []byte("/bin/a\x00")), false} },
		func() truth { return truth{h.file(bad, "/bin/evil", []byte("/tmp/x\x00")), false} },
		func() truth {
			v := h.file(good, "/bin/a", nil) // it says what it likes
			v.Digest = make([]byte, 20)
			return truth{v, false}
		},
	}
	n := 6 // they are good: of half of the lists that are bad, one entry is
	if h.IntN(4) == 0 {
		n = len(kinds)
	}
	return kinds[h.IntN(n)]()
}

// measure has the kernel write a list, and reports whether nothing is wrong with
// it.
func (h *hostile) measure() (trusted bool) {
	aggregate := pcr.SHA256.Sum(bytes.Repeat(h.Boot, 10))
	h.alone(h.file(aggregate, ima.BootAggregate, nil))
	trusted = true
	for range h.IntN(6) {
		e := h.measured()
		h.Measure(e.entry)
		trusted = trusted && e.ok
	}
	return trusted
}

// tamper changes the list that is sent. Some of it no digest covers.
func (h *hostile) tamper() {
	if len(h.List) == 0 {
		return
	}
	i := h.IntN(len(h.List))
	e := &h.List[i]
	switch h.IntN(18) {
	case 0, 1, 2:
		h.relabel(i)
	case 3, 4, 5:
		h.rename("d-ng|sig|n-ng")
	case 6:
		e.PCR = h.Uint32N(24)
	case 7:
		e.Digest = bytes.Repeat([]byte{byte(h.IntN(3) - 1)}, 20)
	case 8:
		h.List = slices.Insert(h.List, i, h.measured().entry)
	case 9:
		h.List = slices.Insert(h.List, i, *e)
	case 10:
		h.List = slices.Delete(h.List, i, i+1)
	case 11:
		h.List[h.IntN(len(h.List))] = *e
	case 12:
		j := h.IntN(len(h.List))
		h.List[i], h.List[j] = h.List[j], h.List[i]
	case 13:
		h.move(e)
	case 14:
		h.recut(e)
	case 15:
		h.resize(e)
	default:
		h.shift(e)
	}
}

// relabel gives another template to an entry, or to it and all others.
func (h *hostile) relabel(i int) {
	template := []byte(names[h.IntN(len(names))])
	all := h.IntN(2) == 0
	for at := range h.List {
		if e := &h.List[at]; all || at == i {
			e.Template = template
			if e.Legacy() && len(e.Data) < 24 {
				e.Data = make([]byte, 24)
			}
		}
	}
}

// rename gives another name to all entries whose third field can be a name.
func (h *hostile) rename(template string) {
	for i, e := range h.List {
		if f := fieldsOf(e.Data); len(f) == 3 && f[2][len(f[2])-1] == 0 && len(f[2]) > 4 {
			h.List[i].Template = []byte(template)
		}
	}
}

// move exchanges two fields.
func (h *hostile) move(e *ima.Entry) {
	fields := fieldsOf(e.Data)
	if len(fields) > 1 {
		i, j := h.IntN(len(fields)), h.IntN(len(fields))
		fields[i], fields[j] = fields[j], fields[i]
		e.Data = slices.Concat(fields...)
	}
}

// recut moves the boundary of two fields.
func (h *hostile) recut(e *ima.Entry) {
	fields := fieldsOf(e.Data)
	if len(fields) > 1 {
		i := h.IntN(len(fields) - 1)
		both := slices.Concat(fields[i][4:], fields[i+1][4:])
		at := h.IntN(len(both) + 1)
		fields[i], fields[i+1] = field(both[:at]), field(both[at:])
		e.Data = slices.Concat(fields...)
	}
}

// resize has a field say that it has another length.
func (h *hostile) resize(e *ima.Entry) {
	fields := fieldsOf(e.Data)
	if len(fields) > 0 {
		i := h.IntN(len(fields))
		fields[i] = bytes.Clone(fields[i])
		h.lie(fields[i])
		e.Data = slices.Concat(fields...)
	}
}

// lie writes a length over another one.
func (h *hostile) lie(length []byte) {
	n := binary.LittleEndian.Uint32(length)
	binary.LittleEndian.PutUint32(length, []uint32{0, 1, n - 1, n + 1, 1 << 16, 1 << 31, 1<<32 - 1}[h.IntN(7)])
}

// garble has an entry of the bytes that are sent say that its template's name or data
// has another length, now and then.
func (h *hostile) garble(list []byte) []byte {
	if len(h.List) == 0 || h.IntN(8) > 0 {
		return list
	}
	const name = 4 + 20 // offset of the name's length
	i, at := h.IntN(len(h.List)), name
	for _, e := range h.List[:i] {
		at += len(e.AppendTo(nil))
	}
	if e := h.List[i]; !e.Legacy() && h.IntN(2) == 0 {
		at += 4 + len(e.Template)
	}
	h.lie(list[at:])
	return list
}

// shift changes a few bytes, lengths among them.
func (h *hostile) shift(e *ima.Entry) {
	e.Data = bytes.Clone(e.Data)
	for range 1 + h.IntN(3) {
		if len(e.Data) > 0 {
			e.Data[h.IntN(len(e.Data))] += []byte{1, 0xff, 0x80}[h.IntN(3)]
		}
	}
}

// fieldsOf are the fields of template data, each with its length.
func fieldsOf(data []byte) (all [][]byte) {
	for len(data) >= 4 {
		n := 4 + int(binary.LittleEndian.Uint32(data))
		if n < 4 || n > len(data) {
			return nil
		}
		all, data = append(all, data[:n]), data[n:]
	}
	return all
}

// I16, I17, I18: whatever the agent makes of the list, it is not trusted if the
// kernel's own is not, and the kernel's own is judged as it should be.
func hostileList(t *testing.T, s signer, policies []*policy.Policy, seed uint64) {
	s.t = t
	h := &hostile{machine: newMachine(t), Rand: rand.New(rand.NewPCG(seed, 1)), signer: s, ignores: seed%3 == 1}
	p := policies[seed%3]
	h.template = names[1:][h.IntN(7)]
	if h.template == "ima-buf" {
		h.template = "ima-modsig" // is no template of files; this one has the most to hide
	}
	trusted := h.measure()
	_, o := h.appraise(h.Standing(), 0, p)
	if judged := o.Accepted && len(o.Result.Failures) == 0; judged != trusted {
		t.Fatalf("seed %d: the kernel's list is judged %v, want %v: %+v", seed, judged, trusted, o.Result.Failures)
	}
	sent := slices.Clone(h.List)
	lies := 1
	if !trusted {
		lies = 4
	}
	for range lies {
		h.List = slices.Clone(sent)
		for range 1 + h.IntN(2) {
			h.tamper()
		}
		ev, list := h.Evidence(0)
		_, o := h.outcome(h.Standing(), ev, h.garble(list), p)
		if o.Accepted && len(o.Result.Failures) == 0 && !trusted {
			t.Fatalf("seed %d: %+v is trusted in place of %+v", seed, h.List, sent)
		}
		if o.Accepted && !o.Certified.Quote().PCRs().Selection()[0].PCRs.Has(pcr.IMA) {
			t.Fatal("certified by a quote without PCR 10")
		}
	}
}

func TestI16_I17_I18_HostileLists(t *testing.T) {
	s := newSigner(t)
	p := hostilePolicies(t, s)
	n := uint64(3000)
	if testing.Short() {
		n = 300
	}
	for seed := range n {
		hostileList(t, s, p, seed)
	}
}

func FuzzHostileLists(f *testing.F) {
	s := newSigner(f)
	p := hostilePolicies(f, s)
	for seed := range uint64(20) {
		f.Add(seed << 40)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { hostileList(t, s, p, seed) })
}
