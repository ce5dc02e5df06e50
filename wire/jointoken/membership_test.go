package jointoken

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMembership(t *testing.T) {
	tok := withKey(t)
	want := Membership{
		ID: strings.Repeat("ab", 32), TokenID: tok.ID, CAPin: tok.CAPin, Registrar: tok.Registrar, Verifier: tok.Verifier, PayloadKey: tok.PayloadKey,
	}
	if diff := cmp.Diff(want, tok.Membership(want.ID)); diff != "" {
		t.Fatalf("membership of the token differs (-want +got):\n%s", diff)
	}
	b, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseMembership(b)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("error %v, membership differs (-want +got):\n%s", err, diff)
	}
	whole := len(strings.TrimSpace(string(b)))
	for n := range whole {
		if _, err := ParseMembership(b[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are accepted", n, whole)
		}
	}
}

// A machine that joined with a token without a payload key.
func TestMembershipWithoutKey(t *testing.T) {
	want := example().Membership(strings.Repeat("ab", 32))
	b, err := want.Encode()
	if err != nil || strings.Contains(string(b), "payload") {
		t.Fatalf("%s, %v", b, err)
	}
	if got, err := ParseMembership(b); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestI03_I04_ParseMembershipRefuses(t *testing.T) {
	b, err := withKey(t).Membership(strings.Repeat("ab", 32)).Encode()
	if err != nil {
		t.Fatal(err)
	}
	good := string(b)
	for name, s := range map[string]string{
		"unknown member": strings.Replace(good, `"id"`, `"secret": "", "id"`, 1),
		"two values":     good + good,
		"short id":       strings.Replace(good, "abab", "ab", 1),
		"token id":       strings.Replace(good, "00112233aabbccdd", "../../etc/shadow", 1),
		"short pin":      strings.Replace(good, `"8081`, `"81`, 1),
		"pin not hex":    strings.Replace(good, `"8081`, `"80zz`, 1),
		"address":        strings.Replace(good, ":8891", ":0", 1),
		"server name":    strings.Replace(good, `"2001:db8::1"`, `""`, 1),
		"short key":      strings.Replace(good, `"046b`, `"04`, 1),
		"key not hex":    strings.Replace(good, `"046b`, `"046z`, 1),
		"another key":    strings.Replace(good, `"046b`, `"046c`, 1),
		"over the limit": good + strings.Repeat(" ", MaxMembership),
	} {
		if s == good {
			t.Fatalf("%s: the test changed nothing", name)
		}
		if m, err := ParseMembership([]byte(s)); err == nil || m != (Membership{}) {
			t.Errorf("%s: ParseMembership = %v, %v, want an error and nothing else", name, m, err)
		}
	}
}

func TestAddress(t *testing.T) {
	for s, want := range map[string]bool{
		"registrar:8891":                  true,
		"a.b-c.example:1":                 true,
		"192.0.2.1:65535":                 true,
		"[::1]:8891":                      true,
		"[::ffff:192.0.2.1]:8891":         true,
		"":                                false,
		":8891":                           false,
		"registrar":                       false,
		"registrar:":                      false,
		"registrar:0":                     false,
		"registrar:08891":                 false,
		"registrar:65536":                 false,
		"registrar:+1":                    false,
		"::1:8891":                        false,
		"[::1:8891":                       false,
		"[192.0.2.1]:8891":                false,
		"[fe80::1%eth0]:8891":             false,
		"[]:8891":                         false,
		"-a:8891":                         false,
		"a..b:8891":                       false,
		"a b:8891":                        false,
		"user@host:8891":                  false,
		strings.Repeat("a", 64) + ":1":    false,
		strings.Repeat("a.", 127) + ":1":  false,
		strings.Repeat("a.", 126) + "a:1": true,
		strings.Repeat("a.", 127) + "a:1": false,
	} {
		if got := validAddress(s); got != want {
			t.Errorf("validAddress(%q) = %v, want %v", s, got, want)
		}
	}
}
