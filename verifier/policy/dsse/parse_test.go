package dsse

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

// around makes an envelope of members.
func around(members ...string) string { return "{" + strings.Join(members, ", ") + "}" }

const (
	aPayload    = `"payload": "e30="`
	aType       = `"payloadType": "application/vnd.keylime+json"`
	aSignature  = `{"keyid": "k", "sig": "AAAA"}`
	aSignatures = `"signatures": [` + aSignature + `]`
)

func TestParse(t *testing.T) {
	for name, text := range map[string]string{
		"plain":                 around(aPayload, aType, aSignatures),
		"another order":         around(aSignatures, aType, aPayload),
		"unknown members":       around(aPayload, `"x": [{"a": 1e400, "b": [[]]}]`, aType, `"signatures": [{"sig": "AAAA", "cert": null}]`),
		"escapes":               around(`"\u0070ayload": "e\u00330\u003d"`, `"payloadType": "application\/vnd.keylime+json"`, aSignatures),
		"URL-safe base64":       around(aPayload, aType, `"signatures": [{"sig": "-_-_"}]`),
		"white space":           "\n" + around(aPayload, aType, aSignatures) + " \r\n",
		"the most signatures":   around(aPayload, aType, `"signatures": [`+strings.TrimSuffix(strings.Repeat(aSignature+",", MaxSignatures), ",")+`]`),
		"the longest signature": around(aPayload, aType, `"signatures": [{"sig": "`+base64.StdEncoding.EncodeToString(make([]byte, MaxSignature))+`"}]`),
		"the longest key id":    around(aPayload, aType, `"signatures": [{"sig": "", "keyid": "`+strings.Repeat("k", MaxKeyID)+`"}]`),
		"the deepest":           around(aPayload, aType, aSignatures, `"x": `+strings.Repeat("[", MaxDepth)+strings.Repeat("]", MaxDepth)),
	} {
		if e, err := Parse(RuntimePolicy, []byte(text)); err != nil || string(e.Unverified()) != "{}" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestI04_ParseRefuses(t *testing.T) {
	many := strings.Builder{}
	for i := range MaxMembers {
		many.WriteString(`"x` + strings.Repeat("x", i) + `": 0, `)
	}
	for _, test := range []struct{ name, text, want string }{
		{"nothing", ``, "the text ends inside a value"},
		{"cut", `{"payload": "e3`, "line 1, column 13: payload: the text ends inside a value: it is cut"},
		{"a mistake in the second line", "{\"payload\": \"e30=\",\n  \"signatures\": [x", "line 2, column 18: signatures[0]: invalid character"},
		{"an unknown name that a terminal obeys", around(aPayload, aType, aSignatures, `"\u001b.x": [x`), `["\x1b.x"]: invalid character`},
		{"an array", `[]`, "want an object"},
		{"no payload", around(aType, aSignatures), `"payload" is missing`},
		{"no type", around(aPayload, aSignatures), `"payloadType" is missing`},
		{"no signatures", around(aPayload, aType), `"signatures" is missing`},
		{"signatures of nobody", around(aPayload, aType, `"signatures": []`), "there is none"},
		{"no signature in one", around(aPayload, aType, `"signatures": [{"keyid": "k"}]`), `signatures[0]: "sig" is missing`},
		{"payload twice", around(aPayload, aPayload, aType, aSignatures), `"payload" is there twice`},
		{"payload twice in disguise", around(aPayload, `"\u0070ayload": ""`, aType, aSignatures), `"payload" is there twice`},
		{"type twice", around(aPayload, aType, aType, aSignatures), `"payloadType" is there twice`},
		{"a signature twice in one", around(aPayload, aType, `"signatures": [{"sig": "", "sig": ""}]`), `signatures[0]: "sig" is there twice`},
		{"an unknown member twice", around(aPayload, aType, aSignatures, `"x": 1`, `"x": 1`), `"x" is there twice`},
		{"another type", around(aPayload, `"payloadType": "application/vnd.in-toto+json"`, aSignatures), `payloadType: "application/vnd.in-toto+json", want`},
		{"a type that is no string", around(aPayload, `"payloadType": 1`, aSignatures), `payloadType: want a string`},
		{"a payload that is an object", around(`"payload": {}`, aType, aSignatures), `payload: want a string`},
		{"no base64", around(`"payload": "{}"`, aType, aSignatures), `payload: want base64 with padding: illegal base64`},
		{"base64 without padding", around(`"payload": "e30"`, aType, aSignatures), `payload: want base64 with padding: illegal base64`},
		{"base64 with bits left", around(`"payload": "e31="`, aType, aSignatures), `payload: want base64 with padding: illegal base64`},
		{"base64 with a line break", around(`"payload": "e3\n0="`, aType, aSignatures), `payload: base64 with a line break`},
		{"base64 of both kinds", around(aPayload, aType, `"signatures": [{"sig": "+-AA"}]`), `signatures[0].sig: want base64 with padding: illegal base64`},
		{"signatures that are one", around(aPayload, aType, `"signatures": `+aSignature), `signatures: want an array`},
		{"a signature that is a string", around(aPayload, aType, `"signatures": ["AAAA"]`), `signatures[0]: want an object`},
		{"a key id of another type", around(aPayload, aType, `"signatures": [{"keyid": null, "sig": ""}]`), `line 1, column 97: signatures[0].keyid: want a string`},
		{"something behind", around(aPayload, aType, aSignatures) + "{}", "something follows"},
		{"rubbish behind", around(aPayload, aType, aSignatures) + "x", "something follows"},
		{"not UTF-8", around(aPayload, aType, aSignatures, "\"x\": \"\xff\""), "not UTF-8"},
		{"too many signatures", around(aPayload, aType, `"signatures": [`+strings.Repeat(aSignature+",", MaxSignatures)+aSignature+`]`), "more than 8"},
		{"a long signature", around(aPayload, aType, `"signatures": [{"sig": "`+base64.StdEncoding.EncodeToString(make([]byte, MaxSignature+1))+`"}]`), "1025 bytes"},
		{"a long key id", around(aPayload, aType, `"signatures": [{"sig": "", "keyid": "`+strings.Repeat("k", MaxKeyID+1)+`"}]`), "16385 bytes"},
		{"too many members", "{" + many.String() + around(aPayload, aType, aSignatures)[1:], "more than 32 members"},
		{"too deep", around(aPayload, aType, aSignatures, `"x": `+strings.Repeat("[", MaxDepth+1)+strings.Repeat("]", MaxDepth+1)), "more than 32 levels deep"},
		{"too large", strings.Repeat(" ", MaxEnvelope+1), "the limit is"},
	} {
		if _, err := Parse(RuntimePolicy, []byte(test.text)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q in it", test.name, err, test.want)
		}
	}
}

func TestEveryCutFails(t *testing.T) {
	for _, name := range []string{"keylime-ecdsa-p256.json", "keylime-x509.json"} {
		text := read(t, name)
		for n := range len(text) {
			if _, err := Parse(RuntimePolicy, text[:n]); err == nil {
				t.Errorf("the first %d bytes of %s are an envelope", n, name)
			}
		}
	}
}

func TestEnveloped(t *testing.T) {
	for text, want := range map[string]bool{
		around(aPayload):    true,
		around(aType):       true,
		around(aSignatures): true,
		"{\"payload\"":      true,
		`{"meta": {}}`:      false,
		`{}`:                false,
		`["payload"]`:       false,
		`"payload"`:         false,
		``:                  false,
		`{"Payload": ""}`:   false,
	} {
		if got := Enveloped([]byte(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// Whatever the bytes, Parse ends, and what it takes it takes for the same envelope
// as another reader of JSON does.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"keylime-ecdsa-p256.json", "keylime-x509.json"} {
		f.Add(read(f, name))
	}
	for _, s := range []string{around(aSignatures, aType, aPayload), around(`"x": [{}, 1]`, aPayload, aType, aSignatures)} {
		f.Add([]byte(s))
	}
	keys := trusting(f, read(f, "keylime-ecdsa-p256.pub.pem"), read(f, "keylime-x509.crt"))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := Parse(RuntimePolicy, text)
		if err != nil {
			return
		}
		var other map[string]json.RawMessage
		var payload string
		if err := json.Unmarshal(text, &other); err != nil || json.Unmarshal(other["payload"], &payload) != nil {
			t.Fatalf("Parse takes what is no JSON: %v", err)
		}
		if want, err := decodeEither(payload); err != nil || string(want) != string(e.Unverified()) {
			t.Fatalf("payload %q, another reader has %q", e.Unverified(), want)
		}
		if v, err := keys.Verify(e, now); err == nil && !strings.Contains(string(v.Payload()), `"/usr/bin/bash"`) {
			t.Fatalf("verified: %q", v.Payload())
		}
	})
}

func decodeEither(s string) ([]byte, error) {
	if b, err := base64.StdEncoding.DecodeString(s); err == nil {
		return b, nil
	}
	return base64.URLEncoding.DecodeString(s)
}
