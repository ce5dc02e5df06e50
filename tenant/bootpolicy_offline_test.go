package tenant

import (
	"encoding/json"
	"strings"
	"testing"

	"quicklime/wire"
)

const plainLog = "../testdata/captures/ovmf-6.1-ima-ng/binary_bios_measurements"

// I20: a reference state made from a log accepts it and refuses another, in words
// and in JSON.
func TestI20_BootPolicyFromLogToTest(t *testing.T) {
	f := start(t)
	made := f.file("boot.json")
	o := f.run(t, "boot-policy", "create", "--log", secureBootLog, "-o", made)
	if o.code != 0 || !strings.Contains(o.stdout, "Secure Boot on, 1 firmware, 1 kernel, PCRs [0 1 2 3 4 5 6 7 8 9 14]") || !strings.Contains(o.stderr, "there is no quote") {
		t.Fatalf("%+v", o)
	}
	if o := f.run(t, "boot-policy", "validate", made); o.code != 0 || !strings.Contains(o.stdout, "can be used: Secure Boot on") {
		t.Errorf("%+v", o)
	}
	if o := f.run(t, "boot-policy", "test", made, secureBootLog); o.code != 0 || !strings.Contains(o.stdout, "49 events in bank sha256: 0 failures") {
		t.Errorf("%+v", o)
	}
	o = f.run(t, "boot-policy", "test", made, plainLog)
	if o.code != exitOtherState || !strings.Contains(o.stdout, "measured_boot.policy_example\n  PCR 7, event 4: Secure Boot is off") || !strings.Contains(o.stdout, "hint      switch Secure Boot on") {
		t.Errorf("%+v", o)
	}
	o = f.run(t, "boot-policy", "test", made, plainLog, "--json")
	var x testedBoot
	if err := json.Unmarshal([]byte(o.stdout), &x); err != nil || o.code != exitOtherState || len(x.Failures) == 0 || x.Failures[0].ID != wire.BootPolicyFailure("example") || x.Verdict != "none" {
		t.Errorf("%v, %+v", err, o)
	}
	if o := f.run(t, "boot-policy", "test", "reject-all", plainLog); o.code != exitOtherState || !strings.Contains(o.stdout, "measured_boot.policy_reject-all") {
		t.Errorf("%+v", o)
	}
	if o := f.run(t, "boot-policy", "test", "accept-all", plainLog); o.code != 0 {
		t.Errorf("%+v", o)
	}
}

// I20: with systemd's log beside it PCR 15 is judged.
func TestI20_BootPolicyWithSystemdsLog(t *testing.T) {
	const dir = "../testdata/captures/ovmf-uki-systemd-6.12/"
	f := start(t)
	made := f.file("boot.json")
	log, systemd := dir+"binary_bios_measurements", dir+"tpm2-measure.log"
	o := f.run(t, "boot-policy", "create", "--log", log, "--systemd-log", systemd, "-o", made)
	if o.code != 0 || !strings.Contains(o.stdout, "PCRs [0 1 2 3 4 5 6 7 8 9 11 12 13 14 15]") {
		t.Fatalf("%+v", o)
	}
	if o := f.run(t, "boot-policy", "test", made, log, "--systemd-log", systemd); o.code != 0 {
		t.Errorf("%+v", o)
	}
	other := f.write(t, "other", strings.Replace(string(captured(t, "ovmf-uki-systemd-6.12/tpm2-measure.log")), "machine-id:0", "machine-id:1", 1))
	if o := f.run(t, "boot-policy", "test", made, log, "--systemd-log", other); o.code != exitOtherState || !strings.Contains(o.stdout, "PCR 15: record 2 of systemd's log") {
		t.Errorf("%+v", o)
	}
	o = f.run(t, "boot-policy", "explain", log, "--systemd-log", other)
	for _, want := range []string{"0       11   phase       checked      enter-initrd", "2       15   machine-id  digest only  sha256:1ea46a17961f  machine-id:1123456789abcdef"} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("no %q in\n%s", want, o.stdout)
		}
	}
}

// I20: a reference state can need a revocation list that the machine does not have yet.
func TestI20_BootPolicyWithARevocationList(t *testing.T) {
	const file = "../verifier/bootpolicy/testdata/dbx.auth"
	f := start(t)
	made := f.file("boot.json")
	o := f.run(t, "boot-policy", "create", "--log", secureBootLog, "--dbx", file, "-o", made)
	const says = `PCR 7, event 8: dbx lacks 6 of the 6 entries of "dbx.auth"`
	if o.code != 0 || !strings.Contains(o.stderr, "a boot as that of "+secureBootLog+" fails: "+says) {
		t.Fatalf("%+v", o)
	}
	if o := f.run(t, "boot-policy", "test", made, secureBootLog); o.code != exitOtherState || !strings.Contains(o.stdout, says) || !strings.Contains(o.stdout, "hint      update dbx on the machine") {
		t.Errorf("%+v", o)
	}
}

func TestBootPolicyDiff(t *testing.T) {
	f := start(t)
	o := f.run(t, "boot-policy", "create", "--log", secureBootLog)
	if o.code != 0 {
		t.Fatalf("%+v", o)
	}
	one := f.write(t, "one", o.stdout)
	two := f.write(t, "two", strings.Replace(o.stdout, `"kernel_cmdline": "/vmlinuz`, `"kernel_cmdline": "/boot/vmlinuz`, 1))
	if o := f.run(t, "boot-policy", "diff", one, one); o.code != 0 || o.stdout != "nothing differs\n" {
		t.Errorf("%+v", o)
	}
	o = f.run(t, "boot-policy", "diff", one, two)
	if o.code != exitOtherState || !strings.Contains(o.stdout, "- kernels: shim sha256:80a66d53") || !strings.Contains(o.stdout, `command line "/boot/vmlinuz`) || strings.Count(o.stdout, "\n") != 2 {
		t.Errorf("%+v", o)
	}
	o = f.run(t, "boot-policy", "diff", one, two, "--json")
	var x comparedBoot
	if err := json.Unmarshal([]byte(o.stdout), &x); err != nil || len(x.Added) != 1 || len(x.Removed) != 1 || x.Before == x.After {
		t.Errorf("%v, %+v", err, o)
	}
}

func TestBootPolicyCommandsRefuse(t *testing.T) {
	f := start(t)
	bad := f.write(t, "bad", `{"has_secureboot": 1}`)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"create", "--log", plainLog, "--systemd-log", bad, "--systemd-log", bad}, 2, "more logs of systemd than boot logs"},
		{[]string{"create", "--log", plainLog, "--systemd-log", bad}, 1, "hint: --systemd-log is systemd's log"},
		{[]string{"create", "--log", plainLog, "--dbx", bad}, 1, "hint: --dbx is a file"},
		{[]string{"create"}, 2, "name a boot log with --log"},
		{[]string{"create", "--log", secureBootLog, "--log", plainLog}, 1, "log 2: Secure Boot is off, in the first log it is on"},
		{[]string{"create", "--log", bad}, 1, "hint: LOG is the firmware's log"},
		{[]string{"validate"}, 2, "takes one FILE or more"},
		{[]string{"validate", bad}, 1, "1 of 1 boot policy cannot be used"},
		{[]string{"test", bad, plainLog}, 1, "has_secureboot: a number, want true or false"},
		{[]string{"test", "-", "-"}, 2, "only one of policy and log"},
		{[]string{"diff", "-", "-"}, 2, "only one of the policies"},
		{[]string{"diff", bad, bad}, 1, "is not a boot policy that can be used"},
		{[]string{"diff", "web", bad}, 1, "hint: there is no file web here, so it was looked for at the verifier"},
		{[]string{"test", f.file("none"), plainLog}, 1, "no such file"},
	} {
		o := f.run(t, append([]string{"boot-policy"}, c.args...)...)
		if o.code != c.code || !strings.Contains(o.stderr, c.says) {
			t.Errorf("%v: %+v", c.args, o)
		}
	}
}
