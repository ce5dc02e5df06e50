package tenant

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"quicklime/verifier/bootpolicy"
	"quicklime/wire/daemon"
)

func (p *program) bootPolicyCreate() *cobra.Command {
	var logs, systemd []string
	out, bank := "", ""
	c := &cobra.Command{
		Use:   "create --log FILE…",
		Short: "Make a measured-boot reference state from boot logs",
		Long: `Make a measured-boot reference state under which the boots of the logs are accepted.
FILE is ` + bootLogHint + `;
"-" is standard input.

Of more logs than one the alternatives are merged: any of the firmwares, any of the
kernels, each with its own command line and initrd; dbx must have what all of them had.

  ssh web-17 sudo cat /sys/kernel/security/tpm0/binary_bios_measurements |
      quicklime-tenant boot-policy create --log - -o web-boot.json

With --systemd-log what systemd measured while the system ran is listed in runtime, and
PCR 15 is judged; the machine's id is then part of it. Without it PCR 11 may have systemd's
phases, and PCR 15 is not judged.

There is no quote, so that a log may be anybody's: take it from a machine that you trust,
and read what was made before you use it.`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			if len(logs) == 0 {
				return usage(c, "nothing to make a reference state of: name a boot log with --log")
			}
			if len(systemd) > len(logs) {
				return usage(c, "more logs of systemd than boot logs: the first --systemd-log is of the first --log")
			}
			return p.createBootPolicy(logs, append(systemd, make([]string, len(logs)-len(systemd))...), bank, out)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&logs, "log", nil, "accept the boot of the log in `FILE`, plain or gzip; repeatable")
	f.StringArrayVar(&systemd, "systemd-log", nil, "`FILE` is "+systemdLogHint+", of the boot of the first --log, the next of the next")
	f.StringVar(&bank, "bank", "", "read the logs in this `BANK`: sha256, sha384 or sha512 (default: sha256 if the log has it, else its strongest)")
	f.StringVarP(&out, "output", "o", "", "write to `FILE`, not to standard output")
	return c
}

// madeBootPolicy is the JSON of "boot-policy create" with --output.
type madeBootPolicy struct {
	File    string            `json:"file"`
	Summary bootPolicySummary `json:"summary"`
}

// createBootPolicy makes a reference state of logs and, at the same places, systemd's of
// the same boots, or "".
func (p *program) createBootPolicy(files, systemd []string, bank, out string) error {
	var logs []bootpolicy.Log
	for i, file := range files {
		_, s, err := p.bootLog(file, systemd[i], bank)
		if err != nil {
			return err
		}
		logs = append(logs, s)
	}
	text, err := bootpolicy.Create(logs...)
	if err != nil {
		return daemon.WithHint(err, "logs are counted in the order of --log")
	}
	compiled, err := bootpolicy.Parse(text)
	if err != nil {
		return fmt.Errorf("what was made cannot be used: %w", err)
	}
	p.warn("%s", noQuote)
	for _, w := range compiled.Warnings() {
		p.warn("%s", w)
	}
	if out == "" {
		_, err = p.stdout.Write(text)
		return err
	}
	if err := os.WriteFile(out, text, 0o644); err != nil {
		return err
	}
	made := madeBootPolicy{out, summarizeBoot(compiled)}
	return p.show(made, made.Summary.writer(fmt.Sprintf("wrote %s", printable(out))))
}
