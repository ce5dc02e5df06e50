package tenant

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"quicklime/verifier/eventlog"
)

const secureBootLog = "../testdata/captures/ovmf-secureboot-6.1/binary_bios_measurements"

// I20: what was measured and what the log only says are told apart.
func TestI20_BootPolicyExplain(t *testing.T) {
	f := start(t)
	o := f.run(t, "boot-policy", "explain", secureBootLog)
	if o.code != 0 || !strings.Contains(o.stderr, "there is no quote") {
		t.Fatalf("%+v", o)
	}
	for _, line := range []string{
		`4 7 EV_EFI_VARIABLE_DRIVER_CONFIG checked SecureBoot: on`,
		`27 7 EV_EFI_VARIABLE_AUTHORITY checked SbatLevel: sbat 1, shim 4, grub 5`,
		`30 4 EV_EFI_BOOT_SERVICES_APPLICATION digest only sha256:a68f6d71ebdd \EFI\BOOT\grubx64.efi, 4183488 bytes`,
		`47 8 EV_IPL checked boot grub_cmd`,
		`EV_SEPARATOR the end of a phase of the boot, or an error`,
		`7 75677db6f14082d3bfec4d14bdd75c8d72612ef6914ca99cd5a5997b7a21309d`,
	} {
		found := false
		for each := range strings.Lines(o.stdout) {
			found = found || strings.Join(strings.Fields(each), " ") == line
		}
		if !found {
			t.Errorf("stdout lacks %q:\n%s", line, o.stdout)
		}
	}
}

func TestI20_BootPolicyExplainAsJSON(t *testing.T) {
	f := start(t)
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(captured(t, "ovmf-secureboot-6.1/binary_bios_measurements"))
	w.Close()
	o := f.runWith(t, t.Context(), &z, "boot-policy", "explain", "-", "--bank", "sha1", "--json")
	var x explained
	if err := json.Unmarshal([]byte(o.stdout), &x); err != nil || o.code != 0 {
		t.Fatalf("%v, %+v", err, o)
	}
	if len(x.Events) != 49 || x.Bank.String() != "sha1" || len(x.Banks) != 2 || x.PCRs["7"] != "a71a0ed1abb1d30cc0d84e8e917bdb9f8c8171fa" || x.Note == "" {
		t.Errorf("%d events, %+v", len(x.Events), x)
	}
	e := x.Events[3]
	if e.Number != 4 || e.Offset != 319 || e.PCR != 7 || e.Check != eventlog.Checked || e.Measured != "SecureBoot: on" || e.Claimed != "" || len(e.Digest) != 40 {
		t.Errorf("%+v", e)
	}
}

// I20: a log whose data was changed is shown, and the change with it.
func TestI20_BootPolicyExplainTellsOfAContradiction(t *testing.T) {
	f := start(t)
	log := captured(t, "ovmf-secureboot-6.1/binary_bios_measurements")
	command := bytes.Index(log, []byte("grub_cmd: boot"))
	copy(log[command:], "grub_cmd: b\x1b[t")
	o := f.run(t, "boot-policy", "explain", f.write(t, "log", string(log)))
	if o.code != exitOtherState || !strings.Contains(o.stdout, `EV_IPL                            contradicted  sha256:4509beb0ab40`) || strings.Contains(o.stdout, "\x1b") {
		t.Errorf("%+v", o)
	}
}

func TestBootPolicyExplainRefuses(t *testing.T) {
	f := start(t)
	log := captured(t, "ovmf-secureboot-6.1/binary_bios_measurements")
	cut := f.write(t, "cut", string(log[:len(log)-1]))
	unknown := bytes.Replace(bytes.Clone(log), []byte("\x02\x00\x00\x00\x04\x00\x14\x00\x0b\x00\x20\x00"), []byte("\x01\x00\x00\x00\x12\x00\x20\x00\x00\x00\x00\x00"), 1)[:28+4+33]
	copy(unknown[28:], []byte{33, 0, 0, 0})
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{f.write(t, "text", "no log at all, but a text")}, 1, "hint: LOG is the firmware's log"},
		{[]string{cut}, 1, cut + ": event 49 at byte 15141: malformed event log: it ends inside the event"},
		{[]string{f.file("none")}, 1, "no such file"},
		{[]string{secureBootLog, "--bank", "md5"}, 2, `"md5" is not one of sha1, sha256`},
		{[]string{secureBootLog, "--bank", "sha384"}, 1, "not of bank sha384, but of [sha1 sha256]"},
		{[]string{f.write(t, "unknown", string(unknown))}, 1, "no bank that is known"},
		{nil, 2, "takes LOG"},
	} {
		o := f.run(t, append([]string{"boot-policy", "explain"}, c.args...)...)
		if o.code != c.code || o.stdout != "" || !strings.Contains(o.stderr, c.says) {
			t.Errorf("%v: %+v\n%s", c.args, o, hex.EncodeToString(unknown))
		}
	}
}
