package eventlog_test

import (
	"fmt"
	"strings"
	"testing"

	"quicklime/verifier/eventlog"
	"quicklime/verifier/systemdlog"
	"quicklime/verifier/verifiertest"
	"quicklime/wire/pcr"
)

// record is a record of systemd's log that says text was measured, and whose digest is
// of measured.
func record(i int, text, measured string) string {
	return fmt.Sprintf("\x1e{\"pcr\":%d,\"digests\":[{\"hashAlg\":\"sha256\",\"digest\":\"%x\"}],\"content_type\":\"systemd\",\"content\":{\"string\":%q,\"eventType\":\"phase\"}}\n",
		i, pcr.SHA256.Sum([]byte(measured)), text)
}

func systemd(t testing.TB, records ...string) systemdlog.Log {
	t.Helper()
	l, err := systemdlog.Parse([]byte(strings.Join(records, "")))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// I20: a PCR that systemd extends while the system runs is proven as far as its log
// leads to the quoted value, from what the firmware's log leads to.
func TestI20_SystemdsLogLeadsOn(t *testing.T) {
	image := whole(11, eventlog.IPL, "image")
	all := []string{record(11, "enter-initrd", "enter-initrd"), record(15, "machine-id:1", "machine-id:1"), record(11, "sysinit", "sysinit")}
	for _, c := range []struct {
		name    string
		quoted  []byte // PCR 11
		systemd []string
		state   eventlog.State
		runtime int
	}{
		{"none", extended(0, "image"), all, eventlog.Proven, 0},
		{"one", extended(0, "image", "enter-initrd"), all, eventlog.Proven, 1},
		{"both", extended(0, "image", "enter-initrd", "sysinit"), all, eventlog.Proven, 2},
		{"its log is not there", extended(0, "image", "enter-initrd"), nil, eventlog.Mismatch, 0},
		{"its log lacks the last", extended(0, "image", "enter-initrd", "sysinit"), all[:2], eventlog.Mismatch, 0},
		{"its log lacks the first", extended(0, "image", "enter-initrd", "sysinit"), all[1:], eventlog.Mismatch, 0},
		{"its log is of another PCR", extended(0, "image", "enter-initrd"), all[1:2], eventlog.Mismatch, 0},
		{"without the image", extended(0, "enter-initrd"), all, eventlog.Mismatch, 0},
		{"its log has no digest of the bank", extended(0, "image", "enter-initrd"),
			[]string{strings.Replace(all[0], "sha256", "sm3-256", 1)}, eventlog.Mismatch, 0},
	} {
		r := parse(t, write(image)).With(systemd(t, c.systemd...)).Replay(verifiertest.Quoted(t, values(t, pcr.SHA256, map[int][]byte{11: c.quoted})))
		o, _ := r.PCR(pcr.SHA256, 11)
		if o.State != c.state || o.Runtime != c.runtime || len(r.Measurements()) != c.runtime {
			t.Errorf("%s: %v, %d measurements, want %s, %d", c.name, o, len(r.Measurements()), c.state, c.runtime)
		}
		if c.state == eventlog.Proven && (string(o.Got) != string(extended(0, "image")) || len(r.Events()) != 1) {
			t.Errorf("%s: the firmware's log leads to %x, %d events", c.name, o.Got, len(r.Events()))
		}
	}
}

// I20: what systemd's log says of a measurement counts only if the digest is of it.
func TestI20_WhatSystemdMeasured(t *testing.T) {
	quoted := map[int][]byte{15: extended(0, "machine-id:1", "secret")}
	l := parse(t, write(whole(0, eventlog.PostCode, "x"))).With(systemd(t, record(15, "machine-id:1", "machine-id:1"), record(15, "cryptsetup:root", "secret"), record(15, "later", "later")))
	r := l.Replay(verifiertest.Quoted(t, values(t, pcr.SHA256, quoted)))
	m := r.Measurements()
	if len(m) != 2 || m[0].PCR() != 15 || m[0].Bank() != pcr.SHA256 || m[1].Number() != 1 {
		t.Fatalf("%+v", m)
	}
	if text, ok := m[0].Text(); !ok || text != "machine-id:1" {
		t.Errorf("%q, %v", text, ok)
	}
	if text, ok := m[1].Text(); ok || text != "" {
		t.Errorf("%q is believed", text)
	}
	if text, kind := m[1].Claim(); text != "cryptsetup:root" || kind != "phase" {
		t.Errorf("%q, %q", text, kind)
	}
	if o, _ := r.PCR(pcr.SHA256, 15); o.State != eventlog.Proven || !strings.Contains(o.String(), "2 that systemd's log has") {
		t.Error(o)
	}
	s, err := l.Suppose(pcr.SHA256)
	if err != nil || len(s.Measurements()) != 3 {
		t.Errorf("%v, %d without a quote", err, len(s.Measurements()))
	}
}
