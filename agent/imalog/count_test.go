package imalog

import (
	"strconv"
	"testing"
)

func TestParseCount(t *testing.T) {
	for text, want := range map[string]uint64{"0\n": 0, "20014\n": 20014, "18446744073709551615\n": 1<<64 - 1} {
		if got, err := parseCount([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", text, got, err, want)
		}
		for n := range text {
			if got, err := parseCount([]byte(text[:n])); err == nil {
				t.Errorf("%q is accepted as %d", text[:n], got)
			}
		}
	}
	for _, text := range []string{"\n", "many\n", "-1\n", "+1\n", "1_000\n", "0x10\n", " 1\n", "1\n\n", "1\n2\n", "1\r\n", "18446744073709551616\n"} {
		if got, err := parseCount([]byte(text)); err == nil {
			t.Errorf("%q is accepted as %d", text, got)
		}
	}
}

func FuzzParseCount(f *testing.F) {
	f.Add([]byte("20014\n"))
	f.Add([]byte("20014"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := parseCount(b)
		if err != nil {
			return
		}
		if again, err := parseCount(append(strconv.AppendUint(nil, n, 10), '\n')); err != nil || again != n {
			t.Errorf("%q is %d, which reads as %d, %v", b, n, again, err)
		}
	})
}
