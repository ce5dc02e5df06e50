package tenant

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"quicklime/verifier/bootpolicy"
	"quicklime/verifier/eventlog"
	"quicklime/wire/daemon"
)

func (p *program) bootPolicyCreate() *cobra.Command {
	var from bootPolicySources
	out := ""
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

With --dbx the dbx of machines must have the revocation list in FILE, such as the
DBXUpdate.bin of https://uefi.org/revocationlistfile; the machines of the logs need not. Its
signature is not verified: take it from who made it.

There is no quote, so that a log may be anybody's: take it from a machine that you trust,
and read what was made before you use it.`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			if len(from.logs) == 0 {
				return usage(c, "nothing to make a reference state of: name a boot log with --log")
			}
			if len(from.systemd) > len(from.logs) {
				return usage(c, "more logs of systemd than boot logs: the first --systemd-log is of the first --log")
			}
			return p.createBootPolicy(from, out)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&from.logs, "log", nil, "accept the boot of the log in `FILE`, plain or gzip; repeatable")
	f.StringArrayVar(&from.systemd, "systemd-log", nil, "`FILE` is "+systemdLogHint+", of the boot of the first --log, the next of the next")
	f.StringArrayVar(&from.dbx, "dbx", nil, "have dbx need the revocation list in `FILE`, with or without what authenticates it; repeatable")
	f.StringVar(&from.bank, "bank", "", "read the logs in this `BANK`: sha256, sha384 or sha512 (default: sha256 if the log has it, else its strongest)")
	f.StringVarP(&out, "output", "o", "", "write to `FILE`, not to standard output")
	return c
}

// bootPolicySources are what a reference state is made of: files, and the bank to read
// the logs in.
type bootPolicySources struct {
	logs, systemd, dbx []string // systemd's are of the boots of the first logs
	bank               string
}

// madeBootPolicy is the JSON of "boot-policy create" with --output.
type madeBootPolicy struct {
	File    string             `json:"file"`
	Summary *bootPolicySummary `json:"summary"`
}

func (p *program) createBootPolicy(from bootPolicySources, out string) error {
	var logs []bootpolicy.Log
	var read []eventlog.Supposed
	for i, file := range from.logs {
		systemd := ""
		if i < len(from.systemd) {
			systemd = from.systemd[i]
		}
		_, s, err := p.bootLog(file, systemd, from.bank)
		if err != nil {
			return err
		}
		logs, read = append(logs, s), append(read, s)
	}
	lists, err := p.revocationLists(from.dbx)
	if err != nil {
		return err
	}
	text, err := bootpolicy.Create(lists, logs...)
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
	for i, one := range read {
		for _, f := range compiled.JudgeSupposed(one) {
			p.warn("a boot as that of %s fails: %s", from.logs[i], printable(f.Message))
		}
	}
	if out == "" {
		_, err = p.stdout.Write(text)
		return err
	}
	if err := os.WriteFile(out, text, 0o644); err != nil {
		return err
	}
	made := madeBootPolicy{out, summarizeBoot(compiled)}
	return p.show(made, func(w io.Writer) { made.Summary.write(w, "wrote "+printable(out)) })
}

// revocationLists reads files, which name the lists.
func (p *program) revocationLists(files []string) (lists []bootpolicy.RevocationList, err error) {
	for _, file := range files {
		b, err := p.readFile(file, bootpolicy.MaxRevocationList)
		if err != nil {
			return nil, err
		}
		l, err := bootpolicy.ParseRevocationList(filepath.Base(file), b)
		if err != nil {
			return nil, daemon.WithHint(fmt.Errorf("%s: %w", file, err), "--dbx is a file that dbx is updated with, such as DBXUpdate.bin, or /sys/firmware/efi/efivars/dbx-… of a machine")
		}
		lists = append(lists, l)
	}
	return lists, nil
}
