package appraise_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"quicklime/ima"
	"quicklime/ima/digsig"
	"quicklime/verifier/appraise"
	"quicklime/verifier/policy"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// signer signs files as evmctl does.
type signer struct {
	t           testing.TB
	private     *ecdsa.PrivateKey
	certificate []byte // DER
	key         *digsig.Key
}

func newSigner(t testing.TB) signer {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "files"}, NotAfter: time.Unix(1<<32, 0), SubjectKeyId: []byte("a key id")}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := digsig.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return signer{t, private, der, key}
}

// under returns a certificate of the same key with another subject key id.
func (s signer) under(t testing.TB, id []byte) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "files"}, NotAfter: time.Unix(1<<32, 0), SubjectKeyId: id}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &s.private.PublicKey, s.private)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// sign returns a security.ima of version 2 over a SHA-256 digest.
func (s signer) sign(digest []byte) []byte {
	s.t.Helper()
	sig, err := ecdsa.SignASN1(rand.Reader, s.private, digest)
	if err != nil {
		s.t.Fatal(err)
	}
	b := binary.BigEndian.AppendUint32([]byte{3, 2, 4}, s.key.ID)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(sig))), sig...)
}

// member is the policy's member with the key.
func (s signer) member() string {
	keys, err := json.Marshal(map[string]any{"meta": map[string]int{"version": 1}, "keyids": []uint32{s.key.ID}, "pubkeys": []string{base64.StdEncoding.EncodeToString(s.key.SPKI())}})
	if err != nil {
		s.t.Fatal(err)
	}
	return fmt.Sprintf(`"verification-keys":%q`, keys)
}

// three makes an entry of three fields.
func three(template string, digest []byte, name string, third []byte) ima.Entry {
	e := ima.NewFileEntry(pcr.SHA256, digest, name)
	e.Template = []byte(template)
	e.Data = append(binary.LittleEndian.AppendUint32(e.Data, uint32(len(third))), third...)
	return e
}

// loaded is the event of a buffer.
func loaded(name string, b []byte) ima.Entry {
	return three("ima-buf", pcr.SHA256.Sum(b), name, b)
}

func TestFileSignatures(t *testing.T) {
	s, other := newSigner(t), newSigner(t)
	denied := fmt.Sprintf(`,"deny":{"digests":["%x"],"paths":["/opt/.*"]}`, bad)
	for name, c := range map[string]struct {
		entry ima.Entry
		more  string
		want  []wire.FailureID
	}{
		"a good one":                        {three("ima-sig", bad, "/bin/new", s.sign(bad)), "", nil},
		"none, and listed":                  {three("ima-sig", good, "/bin/a", nil), "", nil},
		"none, and not listed":              {three("ima-sig", bad, "/bin/new", nil), "", []wire.FailureID{wire.IMANotInPolicy}},
		"a bad one, and listed":             {three("ima-sig", good, "/bin/a", s.sign(bad)), "", nil},
		"of another file":                   {three("ima-sig", bad, "/bin/new", s.sign(good)), "", []wire.FailureID{wire.IMAInvalidSignature}},
		"of another key with the same id":   {three("ima-sig", bad, "/bin/a", other.sign(bad)), "", []wire.FailureID{wire.IMAInvalidSignature}},
		"cut":                               {three("ima-sig", bad, "/bin/new", s.sign(bad)[:40]), "", []wire.FailureID{wire.IMAInvalidSignature}},
		"a good one, the digest denied":     {three("ima-sig", bad, "/bin/new", s.sign(bad)), denied, []wire.FailureID{wire.IMADenied}},
		"a good one, the path denied":       {three("ima-sig", good, "/opt/new", s.sign(good)), denied, []wire.FailureID{wire.IMADenied}},
		"excluded, and denied":              {three("ima-sig", bad, "/tmp/x", nil), denied, []wire.FailureID{wire.IMADenied}},
		"listed, and its path denied":       {ima.NewFileEntry(pcr.SHA256, good, "/opt/listed"), denied, []wire.FailureID{wire.IMADenied}},
		"its own contents as its signature": {three("ima-sig", pcr.SHA256.Sum([]byte("#!evil")), "/bin/new", []byte("#!evil")), "", []wire.FailureID{wire.IMANotInPolicy}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.Measure(c.entry)
			_, o := m.appraise(m.Standing(), 0, allow(t, s.member()+`,"excludes":["/tmp/.*"]`+c.more, "/bin/a", "/opt/listed"))
			want(t, o, true, c.want...)
		})
	}
}

// A denial wins over whatever allows a buffer, and a key that is denied vouches for
// nothing.
func TestI17_BuffersAreDenied(t *testing.T) {
	s := newSigner(t)
	certificate, quiet := pcr.SHA256.Sum(s.certificate), pcr.SHA256.Sum([]byte("quiet"))
	denied := []wire.FailureID{wire.IMADenied}
	for name, c := range map[string]struct {
		deny    string
		entries []ima.Entry
		want    []wire.FailureID
	}{
		"a key that is listed, by its digest": {fmt.Sprintf(`"digests":["%x"]`, certificate),
			[]ima.Entry{loaded(".ima", s.certificate), three("ima-sig", bad, "/bin/new", s.sign(bad))}, []wire.FailureID{wire.IMADenied, wire.IMANotInPolicy}},
		"a key that is listed, by its keyring": {`"paths":["\\.ima"]`,
			[]ima.Entry{loaded(".ima", s.certificate), three("ima-sig", bad, "/bin/new", s.sign(bad))}, []wire.FailureID{wire.IMADenied, wire.IMANotInPolicy}},
		"a key of a keyring that is ignored": {fmt.Sprintf(`"digests":["%x"]`, certificate), []ima.Entry{loaded(".platform", s.certificate)}, denied},
		"a buffer that is listed":            {fmt.Sprintf(`"digests":["%x"]`, quiet), []ima.Entry{loaded("kexec-cmdline", []byte("quiet"))}, denied},
		"others are not": {fmt.Sprintf(`"digests":["%x"],"paths":["/opt/.*"]`, bad),
			[]ima.Entry{loaded(".ima", s.certificate), loaded(".platform", s.certificate), loaded("kexec-cmdline", []byte("quiet"))}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.Measure(c.entries...)
			_, o := m.appraise(m.Standing(), 0, allow(t, fmt.Sprintf(`"keyrings":{".ima":["%x"]},"ima":{"ignored_keyrings":[".platform"]},"ima-buf":{"kexec-cmdline":["%x"]},"deny":{%s}`, certificate, quiet, c.deny)))
			want(t, o, true, c.want...)
		})
	}
}

// A key that the kernel loads into a keyring is judged, and then vouches for what
// comes after it, in later evidence too, until the machine boots again.
func TestI17_KeysAreLearned(t *testing.T) {
	s, other := newSigner(t), newSigner(t)
	p := allow(t, fmt.Sprintf(`"keyrings":{".ima":["%x"]},"ima":{"ignored_keyrings":[".platform"]}`, pcr.SHA256.Sum(s.certificate)), "/bin/a")
	m := newMachine(t)
	m.Measure(three("ima-sig", bad, "/before", s.sign(bad)), loaded(".ima", s.certificate), three("ima-sig", bad, "/after", s.sign(bad)),
		loaded(".ima", other.certificate), three("ima-sig", good, "/by/another", other.sign(good)), loaded(".platform", other.certificate))
	b, o := m.appraise(m.Standing(), 0, p)
	want(t, o, true, wire.IMANotInPolicy, wire.IMAWrongDigest, wire.IMAInvalidSignature)
	st := after(m.Standing(), b, o)
	st.Learned = stored(t, o.Learned)
	m.Measure(three("ima-sig", bad, "/later", s.sign(bad)))
	_, o = m.appraise(st, len(m.List)-1, p)
	want(t, o, true)
	m.Reboot()
	m.Measure(three("ima-sig", bad, "/after", s.sign(bad)))
	_, o = m.appraise(st, 0, p)
	want(t, o, true, wire.IMANotInPolicy)
}

// stored is what comes back from being kept.
func stored(t testing.TB, l appraise.Learned) appraise.Learned {
	t.Helper()
	b, err := l.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for cut := 1; cut < len(b); cut++ {
		if _, err := appraise.ParseLearned(b[:cut]); err == nil {
			t.Errorf("the first %d of %d bytes are taken", cut, len(b))
		}
	}
	if l, err = appraise.ParseLearned(b); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestBuffers(t *testing.T) {
	s := newSigner(t)
	quiet := []byte("root=/dev/vda1 quiet")
	p := func(more string) *policy.Policy {
		return allow(t, fmt.Sprintf(`"ima-buf":{"kexec-cmdline":["%x"]},"keyrings":{".ima":["%x"]}%s`, pcr.SHA256.Sum(quiet), pcr.SHA256.Sum(s.certificate), more), "/bin/a")
	}
	for name, c := range map[string]struct {
		entry  ima.Entry
		policy *policy.Policy
		want   []wire.FailureID
	}{
		"listed":                         {loaded("kexec-cmdline", quiet), p(""), nil},
		"with another digest":            {loaded("kexec-cmdline", quiet[1:]), p(""), []wire.FailureID{wire.IMAWrongDigest}},
		"of another name":                {loaded("selinux-state", quiet), p(""), []wire.FailureID{wire.IMANotInPolicy}},
		"a key that is listed":           {loaded(".ima", s.certificate), p(""), nil},
		"a key for another keyring":      {loaded(".evm", s.certificate), p(""), []wire.FailureID{wire.IMANotInPolicy}},
		"a key of an ignored keyring":    {loaded(".evm", s.certificate), p(`,"ima":{"ignored_keyrings":[".evm"]}`), nil},
		"a key where all are ignored":    {loaded(".evm", s.certificate), p(`,"ima":{"ignored_keyrings":["*"]}`), nil},
		"no key, where all are ignored":  {loaded(".evm", quiet), p(`,"ima":{"ignored_keyrings":["*"]}`), []wire.FailureID{wire.IMANotInPolicy}},
		"no key in a listed keyring":     {loaded(".ima", quiet), p(""), []wire.FailureID{wire.IMAInvalidKey}},
		"named as a file":                {loaded("/bin/evil", s.certificate), p(`,"ima":{"ignored_keyrings":["*"]}`), []wire.FailureID{wire.IMANotInPolicy}},
		"a device, and no device policy": {loaded("dm_table_load", quiet), p(""), []wire.FailureID{wire.IMANotInPolicy}},
		"a device that is none":          {loaded("dm_table_load", quiet), p(`,"ima":{"dm_policy":{"version":1,"match_on":"name","rules":{}}}`), []wire.FailureID{"ima.validation.dm.parsing_failed"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.Measure(c.entry)
			_, o := m.appraise(m.Standing(), 0, c.policy)
			want(t, o, true, c.want...)
		})
	}
}

// I17: whoever chooses the bytes of a buffer cannot make it a key of a keyring that is
// ignored.
func TestI17_BuffersThatLookLikeKeys(t *testing.T) {
	s := newSigner(t)
	m := newMachine(t)
	m.Measure(loaded("label", s.certificate), loaded("kexec-cmdline", s.certificate), loaded("dm_table_load", s.certificate))
	_, o := m.appraise(m.Standing(), 0, allow(t, `"ima-buf":{"label":[]},"ima":{"ignored_keyrings":["*"]}`, "/bin/a"))
	want(t, o, true, wire.IMAWrongDigest, wire.IMANotInPolicy, wire.IMANotInPolicy)
}

// I17: a name moves no field: what two accepted templates read from the same bytes
// counts as the worse.
func TestI17_CustomTemplates(t *testing.T) {
	field := func(b string) string { return string(binary.LittleEndian.AppendUint32(nil, uint32(len(b)))) + b }
	digest := "sha256:\x00" + string(good)
	entry := func(template string, fields ...string) ima.Entry {
		e := ima.NewFileEntry(pcr.SHA256, good, "/bin/a")
		e.Template, e.Data = []byte(template), nil
		for _, f := range fields {
			e.Data = append(e.Data, field(f)...)
		}
		return e
	}
	moved := []string{digest, "/tmp/evil\x00", "/bin/a\x00"}
	for name, c := range map[string]struct {
		templates string
		entry     ima.Entry
		want      []wire.FailureID
	}{
		"accepted":                      {`["d-ng|n-ng|iuid"]`, entry("d-ng|n-ng|iuid", digest, "/bin/a\x00", "root"), nil},
		"not accepted":                  {`["d-ng|n-ng|igid"]`, entry("d-ng|n-ng|iuid", digest, "/bin/a\x00", "root"), []wire.FailureID{wire.IMANoValidator}},
		"none accepted":                 {`[]`, entry("d-ng|n-ng|iuid", digest, "/bin/a\x00", "root"), []wire.FailureID{wire.IMANoValidator}},
		"a name where the signature is": {`["d-ng|sig|n-ng"]`, entry("d-ng|sig|n-ng", moved...), []wire.FailureID{wire.IMANotInPolicy}},
		"and under its other name":      {`["d-ng|sig|n-ng"]`, entry("ima-sig", moved...), []wire.FailureID{wire.IMANotInPolicy}},
		"both names allowed":            {`["d-ng|sig|n-ng"]`, entry("ima-sig", digest, "/bin/a\x00", "/bin/a\x00"), nil},
		"a field too long":              {`["d-ng|n-ng|iuid"]`, entry("d-ng|n-ng|iuid", digest, "/bin/a\x00", "root!"), []wire.FailureID{wire.IMANoValidator}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.Measure(c.entry)
			_, o := m.appraise(m.Standing(), 0, allow(t, `"ima":{"templates":`+c.templates+`}`, "/bin/a"))
			want(t, o, true, c.want...)
		})
	}
}

// legacy makes an entry of the legacy template.
func legacy(digest []byte, name string) ima.Entry {
	data := append(slices.Clone(digest), byte(len(name)), 0, 0, 0)
	return ima.Entry{PCR: pcr.IMA, Digest: bytes.Repeat([]byte{1}, 20), Template: []byte("ima"), Data: append(data, name...)}
}

// I17: the legacy template in a list of another, and the other way.
func TestI17_LegacyOnlyInALegacyList(t *testing.T) {
	sha1 := pcr.SHA1.Sum([]byte("good"))
	p := allow(t, `"excludes":["/old"]`, "/bin/a")
	m := newMachine(t)
	m.Measure(legacy(sha1, "/old"))
	b, o := m.appraise(m.Standing(), 0, p)
	want(t, o, true, wire.IMANoValidator)
	st := after(m.Standing(), b, o)
	m.Measure(legacy(sha1, "/old"))
	_, o = m.appraise(st, 2, p)
	want(t, o, true, wire.IMANoValidator)

	m = newMachine(t)
	m.alone(legacy(sha1, ima.BootAggregate))
	m.Measure(legacy(sha1, "/old"), loaded("kexec-cmdline", []byte("quiet")), ima.NewFileEntry(pcr.SHA256, good, "/bin/a"))
	b, o = m.appraise(m.Standing(), 0, p)
	want(t, o, true, wire.IMABootAggregate, wire.IMANotInPolicy, wire.IMANoValidator)
	st = after(m.Standing(), b, o)
	st.Learned = stored(t, o.Learned)
	m.Measure(legacy(sha1, "/old"))
	_, o = m.appraise(st, len(m.List)-1, p)
	want(t, o, true)
}

// I16: a bank of padded SHA-1 proves no more than SHA-1 does, and says so.
func TestI16_PaddedBanks(t *testing.T) {
	for name, c := range map[string]struct {
		says     bool // the agent
		more     string
		accepted bool
		want     []wire.FailureID
	}{
		"and said so":  {true, "", true, []wire.FailureID{wire.IMAWeakDigest}},
		"warned of":    {true, `"ima":{"weak_digest":"warn"}`, true, []wire.FailureID{wire.IMAWeakDigest}},
		"accepted":     {true, `"ima":{"weak_digest":"accept"}`, true, nil},
		"and not said": {false, `"ima":{"weak_digest":"accept"}`, false, []wire.FailureID{wire.IMAMismatch}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.PCR = ima.NewState(pcr.SHA256).Pad()
			for _, e := range m.List {
				m.PCR.Extend(e)
			}
			m.File("/bin/a", good)
			p := allow(t, c.more, "/bin/a")
			ev, list := m.Evidence(0)
			ev.IMA.Padded = c.says
			b, o := m.outcome(m.Standing(), ev, list, p)
			want(t, o, c.accepted, c.want...)
			if warned := c.want != nil && c.more != "" && c.accepted; warned && !o.Result.Failures[0].Tolerated {
				t.Errorf("%+v", o.Result.Failures)
			}
			if !c.accepted {
				return
			}
			st := after(m.Standing(), b, o)
			m.File("/bin/a", good)
			_, o = m.appraise(st, 2, p)
			want(t, o, true)
		})
	}
}
