package doctor

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quicklime/ima"
	"quicklime/wire/pcr"
)

// fake is a TPM whose PCRs are all of one value.
type fake struct {
	banks []pcr.Bank
	value byte
}

func (f fake) ActiveBanks() ([]pcr.Bank, error) { return f.banks, nil }
func (f fake) Close() error                     { return nil }

func (f fake) ReadPCRs(sel pcr.Selection) (pcr.Values, error) {
	return pcr.NewValues(sel, f.digests(sel[0].Bank))
}

func (f fake) digests(b pcr.Bank) (d [][]byte) {
	for range 10 {
		d = append(d, bytes.Repeat([]byte{f.value}, b.Size()))
	}
	return d
}

// patient is a machine in a directory.
type patient struct {
	t *testing.T
	Machine
	tpm fake
}

// healthy is a machine that lacks nothing.
func healthy(t *testing.T) *patient {
	t.Helper()
	p := &patient{t: t, tpm: fake{[]pcr.Bank{pcr.SHA1, pcr.SHA256}, 7}}
	p.Root = t.TempDir()
	p.IMAList = p.path("/sys/kernel/security/ima/binary_runtime_measurements")
	p.TPMDevice = "/dev/tpmrm0"
	p.OpenTPM = func() (TPM, error) { return p.tpm, nil }
	p.Probe = func() error { return nil }
	p.first(pcr.SHA256, pcr.SHA256.Sum(p.tpm.digests(pcr.SHA256)...), ima.BootAggregate)
	p.write("/sys/kernel/security/ima/runtime_measurements_count", "20014\n")
	p.write("/sys/kernel/security/ima/violations", "0\n")
	shipped, err := os.ReadFile("../../packaging/ima-policy")
	if err != nil {
		t.Fatal(err)
	}
	p.write("/sys/kernel/security/ima/policy", string(shipped))
	p.write("/proc/cmdline", "ima_policy=tcb\n")
	p.write("/proc/sys/kernel/kexec_load_disabled", "1\n")
	p.write("/sys/kernel/security/lockdown", "[none] integrity confidentiality\n")
	return p
}

func (p *patient) write(name, text string) {
	p.t.Helper()
	name = p.path(name)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *patient) first(bank pcr.Bank, digest []byte, name string) {
	p.write("/sys/kernel/security/ima/binary_runtime_measurements", string(ima.NewFileEntry(bank, digest, name).AppendTo(nil)))
}

func (p *patient) remove(name string) { os.Remove(p.path(name)) }

func TestAHealthyMachineLacksNothing(t *testing.T) {
	for _, f := range healthy(t).Examine() {
		if f.State != OK || f.Do != "" {
			t.Errorf("%+v", f)
		}
	}
}

func TestI26_EachDeficiencyIsFoundAndSaysWhatToDo(t *testing.T) {
	const ima, proc = "/sys/kernel/security/ima/", "/proc/"
	for _, c := range []struct {
		name  string
		harm  func(p *patient)
		check string
		state State
		seen  string
		do    string
	}{
		{"no IMA", func(p *patient) { p.remove(ima + "binary_runtime_measurements") }, "IMA", Lacking, "does not exist", "CONFIG_IMA"},
		{"nothing is measured", func(p *patient) { p.write(ima+"runtime_measurements_count", "1\n") }, "IMA", Lacking, "nothing is measured", "ima_policy=tcb"},
		{"an empty list", func(p *patient) { p.write(ima+"runtime_measurements_count", "0\n") }, "IMA", Lacking, "empty", "ima_policy=tcb"},
		{"a list of something else", func(p *patient) { p.first(pcr.SHA256, make([]byte, 32), "/bin/sh") }, "boot_aggregate", Lacking, "does not begin", "reboot"},
		{"no entry", func(p *patient) { p.write(ima+"binary_runtime_measurements", "x") }, "boot_aggregate", Lacking, "cannot be read", ""},
		{"no TPM at boot", func(p *patient) { p.first(pcr.SHA256, make([]byte, 32), "boot_aggregate") }, "boot_aggregate", Lacking, "all zeros", "built into the kernel"},
		{"sha1", func(p *patient) { p.first(pcr.SHA1, pcr.SHA1.Sum(p.tpm.digests(pcr.SHA1)[:8]...), "boot_aggregate") }, "boot_aggregate", Note, "sha1", "ima_hash=sha256"},
		{"another boot", func(p *patient) { p.tpm.value = 8 }, "boot_aggregate", Lacking, "another boot", "reboot"},
		{"violations", func(p *patient) { p.write(ima+"violations", "3\n") }, "violations", Note, "3 files", "--violations warn"},
		{"a weak bank", func(p *patient) { p.tpm.banks = p.tpm.banks[:1] }, "PCR banks", Lacking, "[sha1]", "activate sha256"},
		{"no TPM", func(p *patient) { p.OpenTPM = func() (TPM, error) { return nil, errors.New("no TPM (is there one?)") } }, "TPM", Lacking, "is there one?", ""},
		{"no event", func(p *patient) { p.Probe = func() error { return errors.New("grant CAP_PERFMON") } }, "watching", Note, "grant CAP_PERFMON", ""},
		{"kexec_load", func(p *patient) { p.write(proc+"sys/kernel/kexec_load_disabled", "0\n") }, "kexec_load", Note, "nothing measures", "lockdown=integrity"},
		{"a policy that is none", func(p *patient) { p.write(ima+"policy", "measure all\n") }, "IMA policy", Lacking, "line 1", "correct it"},
		{"another PCR", func(p *patient) { p.write(ima+"policy", "measure pcr=11\n") }, "IMA policy", Lacking, "another PCR", "take pcr= away"},
		{"no kexec rule", func(p *patient) { p.write(ima+"policy", "measure func=BPRM_CHECK\n") }, "KEXEC_KERNEL_CHECK", Lacking, "without the firmware", "install packaging/ima-policy"},
		{"one label", func(p *patient) { p.write(ima+"policy", "measure func=CRITICAL_DATA label=selinux\n") }, "CRITICAL_DATA device-mapper", Lacking, "tables", "install"},
		{"programs of root alone", func(p *patient) { p.write(ima+"policy", "measure func=BPRM_CHECK uid=0\n") }, "BPRM_CHECK", Note, `only as far as "measure func=BPRM_CHECK uid=0"`, "install"},
		{"programs on tmpfs", func(p *patient) { p.remove(ima + "policy") }, "BPRM_CHECK", Note, `where "dont_measure fsmagic=0x1021994"`, "install"},
		{"tcb and kexec", func(p *patient) { p.remove(ima + "policy") }, "KEXEC_CMDLINE", Lacking, "ima_policy=tcb does not measure", "install"},
		{"a policy that is not shown", func(p *patient) { p.remove(ima + "policy") }, "IMA policy", Note, "judged by its command line, ima_policy=tcb", "CONFIG_IMA_READ_POLICY"},
		{"a policy for systemd", func(p *patient) { p.remove(ima + "policy"); p.write("/etc/ima/ima-policy", "measure\n") }, "IMA policy", Note, "judged by /etc/ima/ima-policy", "journalctl"},
		{"no policy at all", func(p *patient) { p.remove(ima + "policy"); p.write("/proc/cmdline", "quiet\n") }, "BPRM_CHECK", Lacking, "without ima_policy=", "install"},
	} {
		p := healthy(t)
		c.harm(p)
		r := p.Examine()
		found := false
		for _, f := range r {
			found = found || f.Check == c.check && f.State == c.state && strings.Contains(f.Seen, c.seen) && strings.Contains(f.Do, c.do)
		}
		if !found || c.state == Lacking && !r.Lacks() {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
}

func TestLockdownForbidsKexecLoad(t *testing.T) {
	p := healthy(t)
	p.write("/proc/sys/kernel/kexec_load_disabled", "0\n")
	p.write("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
	for _, f := range p.Examine() {
		if f.State != OK {
			t.Errorf("%+v", f)
		}
	}
}

func TestReportsAreTableAndJSON(t *testing.T) {
	r := Report{{"IMA", Lacking, "a\x1b[2J", "do it"}, {"TPM", OK, "answers", ""}}
	var table, doc bytes.Buffer
	if err := errors.Join(r.WriteTable(&table), r.WriteJSON(&doc)); err != nil {
		t.Fatal(err)
	}
	if want := "lacking  IMA  a\\x1b[2J\n              → do it\nok       TPM  answers\n"; table.String() != want {
		t.Errorf("%q, want %q", table.String(), want)
	}
	var got struct {
		Lacking  bool
		Findings []Finding
	}
	if err := json.Unmarshal(doc.Bytes(), &got); err != nil || !got.Lacking || len(got.Findings) != 2 || got.Findings[0] != r[0] {
		t.Errorf("%s: %v", doc.String(), err)
	}
}
