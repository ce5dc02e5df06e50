package bootpolicy_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"quicklime/verifier/bootpolicy"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
)

// leveled is the boot with Secure Boot and another SbatLevel.
func leveled(t testing.TB, level string) []event {
	b := events(t, verifiertest.BootLog(t, secureBoot))
	at := index(t, b, 7, "SbatLevel")
	d := bytes.Clone(b[at].data[:len(b[at].data)-int(binary.LittleEndian.Uint64(b[at].data[24:]))])
	binary.LittleEndian.PutUint64(d[24:], uint64(len(level)))
	b[at].data = append(d, level...)
	return measuredAgain(b, at)
}

// I20: what shim revokes is what the reference state says, or more.
func TestI20_SbatLevels(t *testing.T) {
	p := created(t, captured(t, secureBoot)) // sbat 1, shim 4, grub 5
	for _, c := range []struct{ level, says string }{
		{"sbat,1,2025010100\nshim,4\ngrub,5\n", ""},
		{"sbat,1,2026010100\nshim,5\ngrub,6\ngrub.debian,4\n", ""},
		{"sbat,1,2023010100\nshim,2\ngrub,5\n", `PCR 7, event 27: SbatLevel revokes "shim" below generation 2, and sbat says 4`},
		{"sbat,1,2022111500\nshim,4\n", `SbatLevel revokes "grub" below generation 0, and sbat says 5`},
		{"none", "SbatLevel: not an SBAT level"},
	} {
		fails := p.Judge(booted(t, leveled(t, c.level), nil))
		if c.says == "" && len(fails) > 0 || c.says != "" && (len(fails) != 1 || fails[0].ID != example || !strings.Contains(fails[0].Message, c.says) || fails[0].Hint == "") {
			t.Errorf("%q: %+v", c.level, fails)
		}
	}
	b := events(t, verifiertest.BootLog(t, secureBoot))
	at := index(t, b, 7, "SbatLevel")
	fails := p.Judge(booted(t, slices.Delete(b, at, at+1), nil))
	if !slices.ContainsFunc(fails, func(f wire.Failure) bool { return strings.Contains(f.Message, "PCR 7: SbatLevel was not measured") }) {
		t.Errorf("%+v", fails)
	}
}

// I20: of several machines' logs the lowest level is asked for, and of one without shim
// none.
func TestI20_SbatLevelsMerge(t *testing.T) {
	low := booted(t, leveled(t, "sbat,1,2022111500\nshim,2\n"), nil)
	p := created(t, captured(t, secureBoot), low)
	for _, r := range []bootpolicy.Log{captured(t, secureBoot), low} {
		if fails := created(t, r, low).Judge(low); len(fails) > 0 {
			t.Errorf("%+v", fails)
		}
	}
	if fails := p.Judge(booted(t, leveled(t, "sbat,1,2022111500\nshim,1\n"), nil)); len(fails) != 1 {
		t.Errorf("%+v", fails)
	}
	mixed := created(t, captured(t, grub), captured(t, systemdBoot))
	if fails := mixed.Judge(captured(t, grub)); len(fails) > 0 {
		t.Errorf("%+v", fails)
	}
}
