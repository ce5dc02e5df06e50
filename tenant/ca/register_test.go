package ca

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRegisterFindsAndForgets(t *testing.T) {
	a, r := newAuthority(t, P256), NewRegister(day)
	for _, name := range []string{"web", "web", "abcdef0"} {
		issue(t, a, &r, name, Names{}, day, now)
	}
	r.Certificates[0].Serial = "abcdef" + strings.Repeat("0", 26)
	r.Certificates[1].Serial = "abcdee" + strings.Repeat("0", 26)
	for i, id := range []string{strings.Repeat("1", 64), strings.Repeat("1", 64), strings.Repeat("1", 63) + "2", "abcdee1" + strings.Repeat("3", 57), strings.Repeat("4", 64)} {
		issue(t, a, &r, id, Names{Agent: id}, day, now)
		r.Certificates[3+i].Serial = strings.Repeat(string(rune('5'+i)), 32)
	}
	issue(t, a, &r, strings.Repeat("9", 12), Names{Agent: strings.Repeat("5", 64)}, day, now)
	r.Certificates[8].Serial = strings.Repeat("4", 32)
	for arg, want := range map[string][]int{
		"web": {0, 1}, "abcdef": {0}, "ABCDEE0": {1}, "abcdef0": {2}, "abcde": nil, r.Certificates[1].Serial: {1}, "we": nil, "": nil,
		strings.Repeat("1", 64): {3, 4}, strings.Repeat("1", 63): nil, strings.Repeat("1", 63) + "2": {5}, "abcdee": nil, "ABCDEE1": {6},
		"444444": nil, strings.Repeat("4", 33): {7}, "999999": {7}, "99999999999": {7}, strings.Repeat("9", 12): {8},
	} {
		if got := r.Find(arg); !slices.Equal(got, want) {
			t.Errorf("%q is %v, want %v", arg, got, want)
		}
	}
	r.Revoke([]int{0}, "superseded", now)
	issue(t, a, &r, "late", Names{}, day, now.Add(keepExpired+day+time.Minute))
	if len(r.Certificates) != 2 || !r.Certificates[0].Revoked() || r.Certificates[1].Name != "late" {
		t.Errorf("%+v", r.Certificates)
	}
}

func TestRegisterAsText(t *testing.T) {
	a, r := newAuthority(t, P256), NewRegister(day)
	names, err := NewNames([]string{"a.example"}, []string{"::1"}, []string{"https://a/"}, strings.Repeat("0", 64))
	if err != nil {
		t.Fatal(err)
	}
	issue(t, a, &r, "web", names, day, now)
	r.Revoke([]int{0}, "superseded", now)
	next(t, a, &r, now)
	text, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseRegister(text)
	if diff := cmp.Diff(r, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for what, c := range map[string][2]string{
		"another version":     {`"version": 1`, `"version": 2`},
		"lists without life":  {`"crl_life_seconds": 86400`, `"crl_life_seconds": 0`},
		"an unknown key":      {`"version"`, `"x": 1, "version"`},
		"a short serial":      {`"serial": "` + r.Certificates[0].Serial[:1], `"serial": "`},
		"no serial":           {`"serial": "` + r.Certificates[0].Serial, `"serial": "`},
		"an unknown reason":   {`superseded`, `removeFromCRL`},
		"a reason of nothing": {`"revoked_at"`, `"not_before"`},
		"text behind it":      {"\n}\n", "\n}\n{}"},
		"a cut":               {"\n}\n", "\n"},
	} {
		bad := strings.Replace(string(text), c[0], c[1], 1)
		if _, err := ParseRegister([]byte(bad)); bad == string(text) || err == nil {
			t.Errorf("%s was read", what)
		}
	}
	twice := r
	twice.Certificates = append(slices.Clone(r.Certificates), r.Certificates[0])
	if text, err = twice.Marshal(); err != nil {
		t.Fatal(err)
	}
	if _, err := ParseRegister(text); err == nil {
		t.Error("a serial number twice was read")
	}
}
