package tenant

import (
	"context"
	"fmt"

	"quicklime/verifier/bootpolicy"
	"quicklime/verifier/eventlog"
	"quicklime/verifier/systemdlog"
	"quicklime/wire/daemon"
)

// helpBootPolicy says what names a boot policy on the command line.
const helpBootPolicy = `A policy is a file with a measured-boot reference state (JSON, as Keylime has it), "-"
for standard input, the name of one at the verifier, or one of the names accept-all and
reject-all. A file of that name counts first; @NAME is always one at the verifier.`

// bootPolicyAt opens the boot policy that was named, and has k check its signature.
func (p *program) bootPolicyAt(ctx context.Context, arg string, k *checker) (opened[*bootpolicy.Policy], error) {
	if named, ok := bootpolicy.Named(arg); ok {
		return opened[*bootpolicy.Policy]{named, signature{State: unsigned}}, nil
	}
	return p.bootPolicies().open(ctx, arg, k)
}

func compileBoot(file string, text []byte) (*bootpolicy.Policy, error) {
	return compileBy(bootpolicy.Parse, "boot policy", "boot-policy", file, text)
}

// bootExtent is how much a boot policy says.
func bootExtent(secureBoot bool, firmwares, kernels int) string {
	return fmt.Sprintf("Secure Boot %s, %s, %s", onOff(secureBoot), counted(firmwares, "firmware", "firmwares"), counted(kernels, "kernel", "kernels"))
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

const systemdLogHint = "systemd's log, /run/log/systemd/tpm2-measure.log"

// bootLog reads the log in a file, plain or gzip, in one of its banks, with systemd's of
// the same boot behind it, if it is named.
func (p *program) bootLog(file, systemd, bank string) (l eventlog.Log, s eventlog.Supposed, err error) {
	b, err := p.logFile(file, eventlog.MaxLog)
	if err != nil {
		return l, s, err
	}
	if l, err = eventlog.Parse(b); err != nil {
		return l, s, daemon.WithHint(fmt.Errorf("%s: %w", file, err), "LOG is "+bootLogHint)
	}
	if systemd != "" {
		if b, err = p.logFile(systemd, systemdlog.MaxLog); err != nil {
			return l, s, err
		}
		measured, err := systemdlog.Parse(b)
		if err != nil {
			return l, s, daemon.WithHint(fmt.Errorf("%s: %w", systemd, err), "--systemd-log is "+systemdLogHint)
		}
		l = l.With(measured)
	}
	read, err := chooseBank(l.Banks(), bank)
	if err != nil {
		return l, s, err
	}
	if s, err = l.Suppose(read); err != nil {
		return l, s, fmt.Errorf("%s: %w", file, err)
	}
	return l, s, nil
}

func (p *program) logFile(file string, max int64) ([]byte, error) {
	b, err := p.readFile(file, max)
	if err != nil {
		return nil, err
	}
	return gunzip(b, file, max)
}
