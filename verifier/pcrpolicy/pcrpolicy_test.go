package pcrpolicy_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/verifier/pcrpolicy"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// hexOf is a value of size bytes.
func hexOf(b byte, size int) string { return strings.Repeat(fmt.Sprintf("%02x", b), size) }

func TestI04_I15_Parse(t *testing.T) {
	good := hexOf(1, 32)
	for text, says := range map[string]string{
		``:                                     "the text ends inside a value",
		`[]`:                                   "an array, want an object",
		`null`:                                 "null, want an object",
		`{"16":"` + good + `"`:                 "the text ends inside a value",
		`{"16":"` + good + `"} x`:              "something follows",
		`{}`:                                   "it lists no PCR",
		`{"mask":"0x400"}`:                     "it lists no PCR",
		`{"10":"` + good + `"}`:                `"10": PCR 10 is what the measurement list leads to`,
		`{"24":"` + good + `"}`:                `"24": no PCR: want a number from 0 to 23`,
		`{"-1":"` + good + `"}`:                "no PCR",
		`{"016":"` + good + `"}`:               "no PCR",
		`{"0x10":"` + good + `"}`:              "no PCR",
		`{"16":[]}`:                            "no value, so that the PCR would always fail",
		`{"16":null}`:                          `"16"[0]: no value of a PCR`,
		`{"16":[["` + good + `"]]}`:            `"16"[0]: no value of a PCR`,
		`{"16":"` + good[2:] + `"}`:            "no value of a PCR",
		`{"16":"` + good[1:] + `"}`:            "no value of a PCR",
		`{"16":"0X` + good[1:] + `z"}`:         "no value of a PCR",
		`{"16":"` + good + `","16":"x"}`:       "the name is there twice",
		`{"16":"` + good + `","mask":1}`:       "mask: want a text",
		`{"16":"` + good + `","mask":"10000"}`: "mask: want a text",
		`{"16":"` + good + `","mask":"0x1000000"}`:                                      "mask: want a text",
		`{"16":"` + good + `","mask":"0x"}`:                                             "mask: want a text",
		`{"16":"` + good + `\ud800"}`:                                                   "half a character",
		"{\"\xff\":\"" + good + "\"}":                                                   "not UTF-8",
		`{"16":[` + strings.TrimSuffix(strings.Repeat(`"`+good+`",`, 65), ",") + `]}`:   "65 values, the limit is 64",
		`{"16":"` + good + `"}` + strings.Repeat(" ", pcrpolicy.MaxText):                "the limit is 32768",
		`{"` + strings.Repeat("é", 200) + `":1,"` + strings.Repeat("x", 31000) + `":1}`: "no PCR",
	} {
		p, err := pcrpolicy.Parse([]byte(text))
		if err == nil || !strings.Contains(err.Error(), says) || len(err.Error()) > 1000 {
			t.Errorf("%.80s: %+v, %v, want %q", text, p, err, says)
		}
	}
	for _, text := range []string{
		`{"16":"` + good + `"}`, `{"16":"0x` + strings.ToUpper(good) + `"}`, `{"0":["` + good + `","` + hexOf(0, 20) + `"],"mask":"0x408000","23":"` + good + `"}`,
	} {
		if _, err := pcrpolicy.Parse([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func parse(t *testing.T, text string) *pcrpolicy.Policy {
	t.Helper()
	p, err := pcrpolicy.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// values are PCRs 16 and 23, of which every byte is b.
func values(t *testing.T, b byte, banks ...pcr.Bank) pcr.Values {
	t.Helper()
	var s pcr.Selection
	var digests [][]byte
	for _, bank := range banks {
		s = append(s, pcr.BankSet{Bank: bank, PCRs: pcr.Of(16, 23)})
		digests = append(digests, bytes.Repeat([]byte{b}, bank.Size()), bytes.Repeat([]byte{b}, bank.Size()))
	}
	v, err := pcr.NewValues(s, digests)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestI15_Judge(t *testing.T) {
	one, two := hexOf(1, 32), hexOf(2, 32)
	one1, two1, one384 := hexOf(1, 20), hexOf(2, 20), hexOf(1, 48)
	both, sha1 := []pcr.Bank{pcr.SHA1, pcr.SHA256}, []pcr.Bank{pcr.SHA1}
	for _, c := range []struct {
		text   string
		lowest pcr.Bank
		banks  []pcr.Bank
		ids    []wire.FailureID
	}{
		{`{"16":"` + one + `"}`, pcr.SHA256, both, nil},
		{`{"16":["` + two + `","` + one + `"]}`, pcr.SHA256, both, nil},
		{`{"16":"` + one + `","23":"` + two + `"}`, pcr.SHA256, both, []wire.FailureID{wire.PCRInvalid(23)}},
		{`{"16":["` + two + `","` + one1 + `"]}`, pcr.SHA1, both, []wire.FailureID{wire.PCRInvalid(16)}}, // the strongest decides
		{`{"16":["` + one + `","` + two1 + `"]}`, pcr.SHA1, both, nil},
		{`{"16":["` + two + `","` + one1 + `"]}`, pcr.SHA1, sha1, nil},
		{`{"16":["` + two + `","` + one1 + `"]}`, pcr.SHA256, sha1, []wire.FailureID{wire.PCRMissing}}, // it is too weak
		{`{"16":"` + one384 + `"}`, pcr.SHA256, both, []wire.FailureID{wire.PCRMissing}},
		{`{"17":"` + one + `"}`, pcr.SHA256, both, []wire.FailureID{wire.PCRMissing}},
	} {
		p := parse(t, c.text)
		q := verifiertest.Quoted(t, values(t, 1, c.banks...))
		var ids []wire.FailureID
		for _, f := range p.Judge(q, c.lowest) {
			ids = append(ids, f.ID)
			if f.Hint == "" && f.Got == "" {
				t.Errorf("%+v says nothing", f)
			}
		}
		if d := cmp.Diff(c.ids, ids); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.text, d)
		}
		if missing := slices.Contains(ids, wire.PCRMissing); missing != (p.Missing(q, c.lowest) != 0) {
			t.Errorf("%s: missing %b", c.text, p.Missing(q, c.lowest))
		}
	}
}

// I15: what is to be quoted is of the strongest bank that the machine has.
func TestI15_Wants(t *testing.T) {
	p := parse(t, `{"16":["`+hexOf(1, 20)+`","`+hexOf(1, 32)+`"],"23":"`+hexOf(1, 20)+`"}`)
	for _, c := range []struct {
		lowest pcr.Bank
		active []pcr.Bank
		want   map[pcr.Bank]pcr.Set
	}{
		{pcr.SHA1, []pcr.Bank{pcr.SHA1, pcr.SHA256}, map[pcr.Bank]pcr.Set{pcr.SHA256: pcr.Of(16), pcr.SHA1: pcr.Of(23)}},
		{pcr.SHA1, []pcr.Bank{pcr.SHA1}, map[pcr.Bank]pcr.Set{pcr.SHA1: pcr.Of(16, 23)}},
		{pcr.SHA256, []pcr.Bank{pcr.SHA1, pcr.SHA256}, map[pcr.Bank]pcr.Set{pcr.SHA256: pcr.Of(16)}},
		{pcr.SHA256, []pcr.Bank{pcr.SHA384}, map[pcr.Bank]pcr.Set{}},
	} {
		got := map[pcr.Bank]pcr.Set{}
		for _, b := range pcr.Banks {
			if s := p.Wants(b, c.lowest, c.active); s != 0 {
				got[b] = s
			}
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%v %v (-want +got):\n%s", c.lowest, c.active, d)
		}
	}
	if p.Weak(pcr.SHA1) != 0 || p.Weak(pcr.SHA256) != pcr.Of(23) || p.PCRs() != pcr.Of(16, 23) {
		t.Errorf("%b %b", p.Weak(pcr.SHA256), p.PCRs())
	}
}

// A failure is judged away by a policy that lists what was seen, or no value of the
// PCR at all.
func TestAllows(t *testing.T) {
	f := wire.Failure{ID: wire.PCRInvalid(16), Got: "sha256:" + hexOf(1, 32)}
	for text, want := range map[string]bool{
		`{"16":"` + hexOf(1, 32) + `"}`: true, `{"16":"` + hexOf(2, 32) + `"}`: false, `{"1":"` + hexOf(2, 32) + `"}`: true,
	} {
		if got := parse(t, text).Allows(f); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	p := parse(t, `{"1":"`+hexOf(2, 32)+`"}`)
	if !p.Allows(wire.Failure{ID: wire.PCRMissing}) || p.Allows(wire.Failure{ID: wire.EpochRollback}) {
		t.Error("failures of other kinds")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"16":["` + hexOf(1, 32) + `","0x` + hexOf(1, 20) + `"],"mask":"0x408000"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := pcrpolicy.Parse(b)
		if err != nil {
			return
		}
		if p.PCRs() == 0 || p.PCRs().Has(pcr.IMA) || p.Weak(0) != 0 {
			t.Errorf("%q judges %b", b, p.PCRs())
		}
	})
}
