package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"quicklime/ima/imapolicy"
)

// policyFile is from where systemd loads a policy at boot (systemd, ima-setup.c).
const policyFile = "/etc/ima/ima-policy"

// install is what to do about a policy with holes.
const install = "install packaging/ima-policy as " + policyFile + " and reboot"

// wanted is what a policy has to measure, and what is missed otherwise.
var wanted = []struct {
	imapolicy.Question
	missed string
}{
	{imapolicy.Question{Hook: imapolicy.BPRMCheck}, "programs that are executed"},
	{imapolicy.Question{Hook: imapolicy.MMAPCheck}, "libraries, and whatever else is mapped to be executed"},
	{imapolicy.Question{Hook: imapolicy.FileCheck, Root: true}, "files that root reads"},
	{imapolicy.Question{Hook: imapolicy.ModuleCheck}, "kernel modules"},
	{imapolicy.Question{Hook: imapolicy.FirmwareCheck}, "firmware of devices"},
	{imapolicy.Question{Hook: imapolicy.PolicyCheck}, "changes of this policy"},
	{imapolicy.Question{Hook: imapolicy.KexecKernelCheck}, "a kernel that is booted without the firmware"},
	{imapolicy.Question{Hook: imapolicy.KexecInitramfsCheck}, "the initramfs of a kernel that is booted without the firmware"},
	{imapolicy.Question{Hook: imapolicy.KexecCmdline}, "the command line of a kernel that is booted without the firmware"},
	{imapolicy.Question{Hook: imapolicy.KeyCheck}, "keys that are loaded into kernel keyrings"},
	{imapolicy.Question{Hook: imapolicy.CriticalData, Data: "device-mapper"}, "tables of device-mapper"},
	{imapolicy.Question{Hook: imapolicy.CriticalData, Data: "selinux"}, "policy and state of SELinux"},
}

// policy looks at what IMA measures.
func (m Machine) policy(r *Report) {
	p, source, known := m.read(r)
	if !known {
		return
	}
	for _, w := range wanted {
		coverage(r, w.Question, w.missed, p.Covers(w.Question), source)
	}
	for _, rule := range p.OtherPCRs() {
		r.add("IMA policy", Lacking, fmt.Sprintf("%q: entries of another PCR than 10 are not certified", rule), "take pcr= away")
	}
}

func coverage(r *Report, q imapolicy.Question, missed string, c imapolicy.Coverage, source string) {
	check := string(q.Hook)
	if q.Data != "" {
		check += " " + q.Data
	}
	switch {
	case !c.Measured:
		r.add(check, Lacking, fmt.Sprintf("%s does not measure %s", source, missed), install)
	case len(c.Only) > 0:
		r.add(check, Note, fmt.Sprintf("%s measures %s only as far as %s", source, missed, quote(c.Only)), "see that this is what you want, or "+install)
	case len(c.Except) > 0 && q.Hook == imapolicy.FileCheck:
		r.add(check, OK, "but for "+quote(c.Except), "") // state of daemons, such as on tmpfs
	case len(c.Except) > 0:
		r.add(check, Note, fmt.Sprintf("%s does not measure %s where %s", source, missed, quote(c.Except)), "see that this is what you want, or "+install)
	default:
		r.add(check, OK, "measured", "")
	}
}

func quote(rules []imapolicy.Rule) string {
	var words []string
	for _, r := range rules {
		words = append(words, fmt.Sprintf("%q", r))
	}
	return strings.Join(words, " or ")
}

// read finds the policy in force: the kernel's own word if it gives it (CONFIG_IMA_
// READ_POLICY), else what systemd loads, else what the command line asks for. It is
// false if nothing can be said.
func (m Machine) read(r *Report) (p imapolicy.Policy, source string, known bool) {
	text, err := os.ReadFile(m.beside("policy"))
	if err == nil {
		return m.parse(r, string(text), "the policy in force")
	}
	text, failure := os.ReadFile(m.path(policyFile))
	if failure == nil {
		r.add("IMA policy", Note, fmt.Sprintf("the kernel does not show it (%v): judged by %s, if systemd has loaded that", cause(err), policyFile),
			"see in the log of this boot that systemd loaded it: journalctl -b -g ima; a kernel with CONFIG_IMA_READ_POLICY shows it")
		return m.parse(r, string(text), policyFile)
	}
	if !errors.Is(failure, fs.ErrNotExist) {
		r.add("IMA policy", Lacking, failure.Error(), "run as root")
		return nil, "", false
	}
	cmdline, failure := os.ReadFile(m.path("/proc/cmdline"))
	if failure != nil {
		r.add("IMA policy", Lacking, failure.Error(), "")
		return nil, "", false
	}
	p, names := imapolicy.BuiltIn(string(cmdline))
	source = "ima_policy=" + strings.Join(names, "|")
	if len(names) == 0 {
		source = "a kernel without ima_policy= on its command line"
	}
	r.add("IMA policy", Note, fmt.Sprintf("the kernel does not show it (%v): judged by its command line, %s, and wrong if another was loaded since", cause(err), source),
		"a kernel with CONFIG_IMA_READ_POLICY shows it to root")
	return p, source, true
}

func (m Machine) parse(r *Report, text, source string) (imapolicy.Policy, string, bool) {
	p, err := imapolicy.Parse(text)
	if err != nil {
		r.add("IMA policy", Lacking, source+": "+err.Error(), "correct it: the kernel refuses the whole of it")
		return nil, "", false
	}
	r.add("IMA policy", OK, fmt.Sprintf("%s has %d rules", source, len(p)), "")
	return p, source, true
}

// cause is why a file could not be read, without its name.
func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// kexec looks at the older system call, of which IMA is not asked.
func (m Machine) kexec(r *Report) {
	disabled := m.line(m.path("/proc/sys/kernel/kexec_load_disabled"))
	lockdown := word(m.line(m.path("/sys/kernel/security/lockdown")))
	switch {
	case disabled == "":
		r.add("kexec_load", OK, "the kernel has no kexec", "")
	case disabled == "1":
		r.add("kexec_load", OK, "forbidden until the next boot", "")
	case lockdown == "integrity" || lockdown == "confidentiality":
		r.add("kexec_load", OK, "forbidden by lockdown="+lockdown, "")
	default:
		r.add("kexec_load", Note, "root can boot a kernel that nothing measures", "set kernel.kexec_load_disabled=1 once the machine is up, or boot with lockdown=integrity")
	}
}
