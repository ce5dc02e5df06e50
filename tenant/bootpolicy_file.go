package tenant

import (
	"errors"
	"fmt"
	"io/fs"

	"quicklime/verifier/bootpolicy"
	"quicklime/verifier/eventlog"
	"quicklime/verifier/policy"
	"quicklime/verifier/policy/dsse"
	"quicklime/verifier/systemdlog"
	"quicklime/wire/daemon"
)

// helpBootPolicy says what names a boot policy on the command line.
const helpBootPolicy = `POLICY is a file with a measured-boot reference state (JSON, as Keylime has it), "-"
standard input, or one of the names accept-all and reject-all.`

// openedBoot is a compiled boot policy, and what is known of who signed it.
type openedBoot struct {
	*bootpolicy.Policy
	signature signature
}

// bootPolicyAt reads the boot policy that was named, and has k check its signature.
func (p *program) bootPolicyAt(name string, k *checker) (openedBoot, error) {
	if named, ok := bootpolicy.Named(name); ok {
		return openedBoot{named, signature{State: unsigned}}, nil
	}
	text, err := p.readFile(name, bootKind.maxSigned())
	if errors.Is(err, fs.ErrNotExist) {
		return openedBoot{}, daemon.WithHint(err, "POLICY is a file; \"quicklime-tenant boot-policy show NAME\" prints one that the verifier has")
	}
	if err != nil {
		return openedBoot{}, err
	}
	inside, s, err := k.open(dsse.BootPolicy, text)
	if err != nil {
		return openedBoot{}, fmt.Errorf("%s: %w", name, err)
	}
	compiled, err := compileBoot(name, inside)
	return openedBoot{compiled, s}, err
}

// compileBoot says of a boot policy that does not compile everything that is wrong
// with it, a line each.
func compileBoot(name string, text []byte) (*bootpolicy.Policy, error) {
	if dsse.Enveloped(text) {
		return nil, wantedInside("boot-policy", name)
	}
	compiled, err := bootpolicy.Parse(text)
	var problems *policy.Error
	if errors.As(err, &problems) {
		return nil, daemon.WithHint(fmt.Errorf("%s cannot be used:\n%s", name, words(problems)), "\"boot-policy validate\" explains each problem")
	}
	return compiled, err
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
