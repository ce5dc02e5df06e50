package attack_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"quicklime/ima"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

var (
	replay   = refuser{does: "`verifier/imalist.Certify`: the list must replay to the quoted PCR 10", says: "the list does not replay to the quoted PCR 10"}
	parsing  = refuser{does: "`ima.ParseEntry`: bytes that are no entry"}
	judging  = refuser{does: "`verifier/appraise.Appraisal`: only what the PCR covers is judged"}
	tying    = refuser{does: "`verifier/appraise.Appraisal`: entry 0 ties the list to the quoted boot PCRs"}
	counting = refuser{does: "`verifier/session`: the entries that were announced must come", says: "entries were announced"}
)

// alteredLists hide what the machine ran by altering its list, which then is not
// the one that the PCR was extended with (I16).
var alteredLists = []attack{
	{"a flipped byte", replay, sight{failure: wire.IMAMismatch}, ran(func(es []ima.Entry) []byte {
		es[1].Data = bytes.Clone(es[1].Data)
		es[1].Data[len(es[1].Data)-2] ^= 1 // of the name
		return encode(es)
	})},
	{"a missing entry", replay, sight{failure: wire.IMAMismatch}, ran(func(es []ima.Entry) []byte { return encode(slices.Delete(es, 1, 2)) })},
	{"an entry in the place of another", replay, sight{failure: wire.IMAMismatch}, ran(func(es []ima.Entry) []byte {
		es[1] = bash
		return encode(es)
	})},
	{"a doubled entry", replay, sight{failure: wire.IMAMismatch}, ran(func(es []ima.Entry) []byte {
		return encode(slices.Insert(es, 1, es[0]))
	})},
	{"a moved entry", replay, sight{failure: wire.IMAMismatch}, ran(func(es []ima.Entry) []byte {
		es[1], es[2] = es[2], es[1]
		return encode(es)
	})},
	{"a field boundary moved", replay, sight{failure: wire.IMAMismatch}, ran(func(es []ima.Entry) []byte {
		es[1].Data = recut(es[1].Data, -1)
		return encode(es)
	})},
	{"two entries made one", replay, sight{failure: wire.IMAMismatch}, ran(func(es []ima.Entry) []byte {
		es[0].Data = slices.Concat(es[0].Data, es[1].AppendTo(nil)) // the tail of one entry's data
		return encode(slices.Delete(es, 1, 2))
	})},
	{"an entry cut short", parsing, sight{failure: wire.IMAMalformed}, ran(func(es []ima.Entry) []byte {
		b := encode(es)
		return b[:len(b)-1]
	})},
	{"fewer entries than announced", counting, sight{failure: wire.IMAMalformed}, func(k *session) {
		k.measure(tool, miner)
		t := k.testify(k.nonce)
		t.count++
		k.tell(t)
	}},
	{"a file dressed up as a violation", replay, sight{failure: wire.IMAMismatch}, ran(func(es []ima.Entry) []byte {
		es[1].Digest = make([]byte, 20)
		return encode(es)
	})},
}

// ran has the machine run what the policy does not allow, between two programs
// that it does, and lie about it.
func ran(lie func(entries []ima.Entry) []byte) func(k *session) {
	return hiding(miner, lie)
}

// hiding has the machine measure an entry between two that the policy allows, and
// lie about the three.
func hiding(e ima.Entry, lie func(entries []ima.Entry) []byte) func(k *session) {
	return func(k *session) {
		k.measure(tool, e, file("/usr/bin/tool", "tool"))
		t := k.testify(k.nonce)
		t.list = lie(slices.Clone(k.list[k.from:]))
		t.count = countOf(t.list)
		k.tell(t)
	}
}

// countOf is how many entries a verifier could take the list for.
func countOf(list []byte) (n uint64) {
	for len(list) > 0 {
		_, size, err := ima.ParseEntry(list)
		if err != nil {
			return n + 1
		}
		list, n = list[size:], n+1
	}
	return n
}

// tell sends testimony whose quote counts, and takes the verdict.
func (k *session) tell(t testimony) {
	k.t.Helper()
	k.send(t)
	if v := k.verdict(); v.Trust != wire.Untrusted {
		k.t.Fatalf("the machine is told that it is %s: %+v", v.Trust, v)
	}
}

// recut moves the boundary between the two fields of an ima-ng entry.
func recut(data []byte, by int) []byte {
	first := int(binary.LittleEndian.Uint32(data))
	d, n := data[4:4+first], data[8+first:]
	both := slices.Concat(d, n)
	return fields(both[:first+by], both[first+by:])
}

// fields is template data.
func fields(all ...[]byte) (b []byte) {
	for _, f := range all {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(f)))
		b = append(b, f...)
	}
	return b
}

// three is an entry of three fields, as ima-sig and ima-buf have.
func three(template string, content, third []byte, name string) ima.Entry {
	digest := append([]byte("sha256:\x00"), pcr.SHA256.Sum(content)...)
	data := fields(digest, append([]byte(name), 0), third)
	return ima.Entry{PCR: pcr.IMA, Digest: pcr.SHA1.Sum(data), Template: []byte(template), Data: data}
}

// long is a file whose ima-ng entry has the 276 bytes of a legacy one: 44 of the
// digest field, 232 of the name field.
var long = file("/tmp/"+strings.Repeat("x", 276-44-4-1-len("/tmp/")), "miner")

// hiddenLists alter only what the PCR does not cover: the template's name, the PCR
// index, the digest column, and what a violation says (I16 to I18).
var hiddenLists = []attack{
	{"a relabelled entry", judging, sight{failure: wire.IMANoValidator}, ran(func(es []ima.Entry) []byte {
		es[1].Template = []byte("ima-buf")
		return encode(es)
	})},
	{"an entry relabelled as another file template", judging, sight{failure: wire.IMANoValidator}, ran(func(es []ima.Entry) []byte {
		es[1].Template = []byte("ima-sig")
		return encode(es)
	})},
	{"an entry for another PCR", refuser{does: "`ima.Stream`: an entry that the quote does not cover", says: "an entry for another PCR"}, sight{failure: wire.IMAForeignPCR}, ran(func(es []ima.Entry) []byte {
		es[1].PCR = 11
		return encode(es)
	})},
	{"an ima-ng entry of 276 bytes read as legacy ima", parsing, sight{failure: wire.IMAMalformed}, hiding(long, func(es []ima.Entry) []byte {
		es[1].Template = []byte("ima")
		return encode(es)
	})},
	{"the same without the length, as legacy lists have it", parsing, sight{failure: wire.IMAMalformed}, hiding(long, func(es []ima.Entry) []byte {
		legacy := es[1].AppendTo(nil)[:24]
		legacy = slices.Concat(legacy, fields([]byte("ima")), es[1].Data)
		return slices.Concat(encode(es[:1]), legacy, encode(es[2:]))
	})},
	{"a buffer renamed as a file", refuser{does: "`ima.Entry.Event`: a third field that the digest is of is a buffer, and a file, too, if its name is a path", says: "none that the policy lists for it"}, sight{failure: wire.IMAWrongDigest},
		hiding(three("ima-buf", []byte("kexec"), []byte("kexec"), "/usr/bin/tool"), func(es []ima.Entry) []byte {
			es[1].Template = []byte("ima-sig")
			return encode(es)
		})},
	{"a file renamed as a buffer", judging, sight{failure: wire.IMANotInPolicy},
		hiding(three("ima-sig", []byte("miner"), []byte("signature"), "/usr/bin/miner"), func(es []ima.Entry) []byte {
			es[1].Template = []byte("ima-buf")
			return encode(es)
		})},
	{"a file with its contents for a signature, renamed as a buffer", judging, sight{failure: wire.IMANotInPolicy},
		hiding(three("ima-sig", []byte("miner"), []byte("miner"), "/usr/bin/miner"), func(es []ima.Entry) []byte {
			es[1].Template = []byte("ima-buf")
			return encode(es)
		})},
	{"a bank that is said to be extended with padded SHA-1", replay, sight{failure: wire.IMAMismatch}, func(k *session) {
		k.switchOff()
		k.switchOn()
		k.measure(tool, miner)
		s := k.machine.dial()
		t := s.testify(s.nonce)
		t.padded = true
		s.tell(t)
	}},
	{"a violation with an invented name", judging, sight{failure: wire.IMAViolation}, func(k *session) {
		hiding(violation, func(es []ima.Entry) []byte {
			es[1].Data, es[1].Template = tool.Data, tool.Template
			return encode(es)
		})(k)
		for _, f := range k.agent().Failures {
			if strings.Contains(fmt.Sprint(f), "/usr/bin/tool") {
				k.t.Errorf("the operator is told what nothing covers: %+v", f)
			}
		}
	}},
	{"a violation that says it is the boot_aggregate", tying, sight{failure: wire.IMANotMeasuring}, func(k *session) {
		k.switchOff()
		k.switchOn()
		aggregate := k.aggregate()
		k.list = nil
		k.measure(violation, bash)
		aggregate.Digest = violation.Digest
		k.list[0] = aggregate
		k.machine.dial().attest()
	}},
	{"a forged digest column", judging, sight{failure: wire.IMANotInPolicy}, ran(func(es []ima.Entry) []byte {
		es[1].Digest = tool.Digest
		return encode(es)
	})},
}

// violation is what a kernel records of a file that was written while it was
// measured.
var violation = ima.Entry{PCR: pcr.IMA, Digest: make([]byte, 20), Template: []byte("ima-ng"),
	Data: fields(append([]byte("sha256:\x00"), make([]byte, 32)...), []byte("/usr/bin/miner\x00"))}

// attest sends honest evidence of what the machine says of itself now, which is
// not enough.
func (k *session) attest() {
	k.t.Helper()
	k.tell(k.testify(k.nonce))
}

// untiedLists replay to the PCR and are not tied to the boot (I19, I26).
var untiedLists = []attack{
	{"IMA switched off", refuser{does: "`verifier/appraise.Appraisal`: under a policy an empty list is not a success", says: "the measurement list is empty"}, sight{failure: wire.IMANotMeasuring}, booted(func(m *machine) {})},
	{"no boot_aggregate", tying, sight{failure: wire.IMANotMeasuring}, booted(func(m *machine) { m.measure(bash) })},
	{"a boot_aggregate that is not the first entry", tying, sight{failure: wire.IMANotMeasuring}, booted(func(m *machine) { m.measure(bash, m.aggregate()) })},
	{"a second boot_aggregate of another value", tying, sight{failure: wire.IMABootAggregate}, booted(func(m *machine) {
		m.measure(m.aggregate(), bash, file(ima.BootAggregate, "another boot"))
	})},
	{"a boot_aggregate of another boot", tying, sight{failure: wire.IMABootAggregate}, booted(func(m *machine) {
		old := m.aggregate()
		m.extend(4, func(b pcr.Bank) []byte { return b.Sum([]byte("another kernel")) })
		m.measure(old, bash)
	})},
	{"a boot_aggregate in the hash of a bank that is not quoted", tying, sight{failure: wire.IMABootAggregate}, booted(func(m *machine) {
		m.measure(ima.NewFileEntry(pcr.SHA512, pcr.SHA512.Sum([]byte("anything")), ima.BootAggregate), bash)
	})},
}

// booted has the machine boot with another kernel, which measures what it likes.
func booted(kernel func(m *machine)) func(k *session) {
	return func(k *session) {
		k.switchOff()
		k.switchOn()
		k.list = nil
		k.extend(0, func(b pcr.Bank) []byte { return b.Sum([]byte("firmware")) })
		kernel(k.machine)
		k.machine.dial().attest()
	}
}
