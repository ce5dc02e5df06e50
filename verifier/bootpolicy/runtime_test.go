package bootpolicy_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"quicklime/verifier/bootpolicy"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// unified is a boot of a unified kernel image by systemd-boot, with systemd in the
// initrd and after it.
const unified = "ovmf-uki-systemd-6.12"

// edited is the reference state of a capture with a member changed, or removed if it
// is nil.
func edited(t testing.TB, name, member string, value any) *bootpolicy.Policy {
	t.Helper()
	b, err := bootpolicy.Create(nil, captured(t, name))
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	if all[member] = value; value == nil {
		delete(all, member)
	}
	if b, err = json.Marshal(all); err != nil {
		t.Fatal(err)
	}
	return parse(t, string(b))
}

// I20: PCR 11 is judged by systemd's log, or as a prefix; PCR 15 by the log alone.
func TestI20_PCRsThatSystemdExtends(t *testing.T) {
	const id = "machine-id:0123456789abcdef0123456789abcdef"
	strict := created(t, captured(t, unified))
	prefix := edited(t, unified, "runtime", nil)
	anyID := edited(t, unified, "runtime", map[string]any{"15": []any{"machine-id:[0-9a-f]{32}"}})
	otherID := edited(t, unified, "runtime", map[string]any{"15": []any{"machine-id:f{32}"}})
	digest := edited(t, unified, "runtime", map[string]any{"15": []any{map[string]any{"sha256": fmt.Sprintf("0x%x", pcr.SHA256.Sum([]byte(id)))}}})
	nothing := edited(t, unified, "runtime", map[string]any{"15": []any{}})
	logOfPhases := edited(t, unified, "runtime", map[string]any{"11": []any{"more"}})
	log := string(verifiertest.SystemdLog(t, unified))
	for _, c := range []struct {
		name string
		p    *bootpolicy.Policy
		log  string
		id   wire.FailureID // empty: accepted
		says string
	}{
		{"all of it", strict, log, "", ""},
		{"no log", strict, "", "measured_boot.invalid_pcr_15", "has no event for it"},
		{"no log, and PCR 15 is not judged", prefix, "", "", ""},
		{"a log, and PCR 15 is not judged", prefix, log, "", ""},
		{"an expression", anyID, log, "", ""},
		{"an expression of another", otherID, log, example, "PCR 15: record 2 of systemd's log: it measured \"" + id + "\" while the system ran"},
		{"a digest", digest, log, "", ""},
		{"nothing is listed", nothing, log, example, "runtime does not list it"},
		{"another text in the log", anyID, strings.Replace(log, id, strings.Replace(id, "0", "1", 1), 1), example, "PCR 15: record 2 of systemd's log: it measured sha256:1ea46a17"},
		{"a log without the last phase", prefix, log[:strings.LastIndex(log, "\x1e")], "", ""},
		{"the same, and the log has to lead to PCR 11", logOfPhases, log[:strings.LastIndex(log, "\x1e")], "measured_boot.invalid_pcr_11", "PCR 11"},
	} {
		r := parseLog(t, verifiertest.BootLog(t, unified)).With(systemdLog(t, []byte(c.log))).Replay(verifiertest.Quoted(t, verifiertest.PCRs(t, unified)))
		fails := c.p.Judge(r)
		if c.id == "" && len(fails) > 0 || c.id != "" && !slices.ContainsFunc(fails, func(f wire.Failure) bool { return f.ID == c.id && strings.Contains(f.Message, c.says) && f.Hint != "" }) {
			t.Errorf("%s: %+v", c.name, fails)
		}
	}
}

// I20: what somebody extends into a PCR beside systemd is refused, also if systemd's log
// says that systemd did it.
func TestI20_RuntimeExtendsAreNotSystemds(t *testing.T) {
	p := created(t, captured(t, unified))
	b := events(t, verifiertest.BootLog(t, unified))
	log := string(verifiertest.SystemdLog(t, unified))
	for _, i := range []int{4, 7, 11, 12, 13, 15} {
		r := captured(t, unified)
		values := map[int][]byte{}
		for _, of := range []int{11, 15} {
			o, _ := r.PCR(pcr.SHA256, of)
			values[of] = o.Quoted
		}
		before := led(t, b, values).Digests()[i]
		values[i] = pcr.SHA256.Extend(before, pcr.SHA256.Sum([]byte("evil")))
		q := verifiertest.Quoted(t, led(t, b, values))
		record := fmt.Sprintf("\x1e{\"pcr\":%d,\"digests\":[{\"hashAlg\":\"sha256\",\"digest\":\"%x\"}],\"content_type\":\"systemd\",\"content\":{\"string\":\"ready\"}}\n", i, pcr.SHA256.Sum([]byte("evil")))
		for _, c := range []struct {
			log string
			id  wire.FailureID
		}{{log, wire.BootInvalidPCR(i)}, {log + record, example}} {
			fails := p.Judge(parseLog(t, write(b)).With(systemdLog(t, []byte(c.log))).Replay(q))
			if i == 11 && c.log == log {
				c.id = example // a prefix that no phase leads on from
			}
			if !slices.ContainsFunc(fails, func(f wire.Failure) bool {
				return f.ID == c.id && strings.Contains(f.Message, fmt.Sprintf("PCR %d", i))
			}) {
				t.Errorf("PCR %d: %+v", i, fails)
			}
		}
	}
}

// I20: without an initrd of systemd's the phases begin behind it.
func TestI20_PhasesWithoutAnInitrd(t *testing.T) {
	p := edited(t, unified, "runtime", nil)
	b := events(t, verifiertest.BootLog(t, unified))
	image := led(t, b, nil).Digests()[11]
	for _, c := range []struct {
		phases []string
		ok     bool
	}{
		{nil, true},
		{[]string{"sysinit", "ready"}, true},
		{[]string{"enter-initrd", "leave-initrd", "sysinit", "ready", "shutdown"}, true},
		{[]string{"ready"}, false},
		{[]string{"leave-initrd"}, false},
		{[]string{"enter-initrd", "sysinit"}, false},
		{[]string{"enter-initrd", "enter-initrd"}, false},
		{[]string{"other"}, false},
	} {
		value := image
		for _, phase := range c.phases {
			value = pcr.SHA256.Extend(value, pcr.SHA256.Sum([]byte(phase)))
		}
		if fails := p.Judge(booted(t, b, map[int][]byte{11: value})); c.ok != (len(fails) == 0) {
			t.Errorf("%q: %+v", c.phases, fails)
		}
	}
}

// I20: a phase counts in PCR 11 alone.
func TestI20_PhasesAreOfPCR11(t *testing.T) {
	p := created(t, captured(t, unified))
	b := events(t, verifiertest.BootLog(t, unified))
	ready := pcr.SHA256.Sum([]byte("ready"))
	log := fmt.Sprintf("\x1e{\"pcr\":12,\"digests\":[{\"hashAlg\":\"sha256\",\"digest\":\"%x\"}],\"content_type\":\"systemd\",\"content\":{\"string\":\"ready\"}}\n", ready)
	r := parseLog(t, write(b)).With(systemdLog(t, []byte(log))).Replay(verifiertest.Quoted(t, led(t, b, map[int][]byte{12: pcr.SHA256.Extend(make([]byte, 32), ready)})))
	if fails := p.Judge(r); len(fails) != 1 || !strings.Contains(fails[0].Message, `PCR 12: record 0 of systemd's log: it measured "ready"`) {
		t.Errorf("%+v", fails)
	}
}

// I20: an expression that matches everything, no text too, is of texts that a digest
// covers.
func TestI20_UncoveredTextsMatchNothing(t *testing.T) {
	p := edited(t, unified, "runtime", map[string]any{"15": []any{".*"}})
	b := events(t, verifiertest.BootLog(t, unified))
	secret := pcr.SHA256.Sum([]byte("secret"))
	log := fmt.Sprintf("\x1e{\"pcr\":15,\"digests\":[{\"hashAlg\":\"sha256\",\"digest\":\"%x\"}],\"content_type\":\"systemd\",\"content\":{\"string\":\"cryptsetup:root\",\"eventType\":\"volume-key\"}}\n", secret)
	r := parseLog(t, write(b)).With(systemdLog(t, []byte(log))).Replay(verifiertest.Quoted(t, led(t, b, map[int][]byte{15: pcr.SHA256.Extend(make([]byte, 32), secret)})))
	if fails := p.Judge(r); len(fails) != 1 || !strings.Contains(fails[0].Message, `which its log calls "volume-key" "cryptsetup:root"`) {
		t.Errorf("%+v", fails)
	}
}
