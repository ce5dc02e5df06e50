package tenant

import (
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"quicklime/verifier/eventlog"
	"quicklime/wire/pcr"
)

// noQuote is what an explained log does not say.
const noQuote = "there is no quote, so that the log may be anybody's: what it says holds only if the PCRs that it leads to are the machine's"

const bootLogHint = "the firmware's log, /sys/kernel/security/tpm0/binary_bios_measurements, plain or gzip"

// explained is the JSON of "boot-policy explain".
type explained struct {
	Note   string            `json:"note"`
	Bank   pcr.Bank          `json:"bank"`  // that the log was read in
	Banks  []pcr.Bank        `json:"banks"` // that it is of
	PCRs   map[string]string `json:"pcrs"`  // what its events lead to, in hexadecimal
	Events []explainedEvent  `json:"events"`

	Types   map[string]string      `json:"types"`             // what the types that occur are of
	Systemd []explainedMeasurement `json:"systemd,omitempty"` // what it measured behind the events
}

// explainedMeasurement is a record of systemd's log.
type explainedMeasurement struct {
	Number   int            `json:"record"` // from 0; those that extend no PCR are left out
	PCR      int            `json:"pcr"`
	Kind     string         `json:"kind"` // no digest covers it
	Check    eventlog.Check `json:"check"`
	Digest   string         `json:"digest"`
	Measured string         `json:"measured,omitempty"` // what the digest covers
	Claimed  string         `json:"claimed,omitempty"`  // what the log says and no digest covers
}

type explainedEvent struct {
	Number   int            `json:"event"`  // from 0; those that extend nothing are left out
	Offset   int            `json:"offset"` // in the log, in bytes
	PCR      int            `json:"pcr"`
	Type     string         `json:"type"` // no digest covers it
	Check    eventlog.Check `json:"check"`
	Digest   string         `json:"digest"`
	Measured string         `json:"measured,omitempty"` // what the digest covers
	Claimed  string         `json:"claimed,omitempty"`  // what the log says beside it
	Quirk    eventlog.Quirk `json:"quirk,omitempty"`
}

func (p *program) bootPolicyExplain() *cobra.Command {
	bank, systemd := "", ""
	c := &cobra.Command{
		Use:   "explain LOG",
		Short: "Print a boot log as a table: PCR, event, what it means, digest checked or not",
		Long: `Print a boot log as a table. LOG is ` + bootLogHint + `;
"-" is standard input.

  ssh web-17 sudo cat /sys/kernel/security/tpm0/binary_bios_measurements |
      quicklime-tenant boot-policy explain -

MEASURED is what the digest was recomputed from: nobody could change it and keep the
PCRs. THE LOG SAYS is what no digest covers, such as the name of an image; and neither
is the type of an event. DIGEST is

  checked        recomputed from what is in the log
  digest only    of something that the log does not have: an image, a file, a table
  contradicted   by the type of the event it is of its data, and it is not

Exit codes: 0 shown, 1 it could not be read, 2 usage, 3 shown, and a digest is
contradicted.`,
		Args: exactly(1, "LOG"),
		RunE: func(c *cobra.Command, args []string) error { return p.explain(args[0], systemd, bank) },
	}
	c.Flags().StringVar(&bank, "bank", "", "read the log in this `BANK`: sha1, sha256, sha384 or sha512 (default: sha256 if the log has it, else its strongest)")
	c.Flags().StringVar(&systemd, "systemd-log", "", "show what systemd measured in the same boot, too: `FILE` is "+systemdLogHint)
	return c
}

// explain shows the log in a file.
func (p *program) explain(file, systemd, bank string) error {
	l, s, err := p.bootLog(file, systemd, bank)
	if err != nil {
		return err
	}
	e := explainLog(l, s)
	p.warn("%s", noQuote)
	if err := p.show(e, func(w io.Writer) { p.writeExplained(w, e) }); err != nil {
		return err
	}
	if slices.ContainsFunc(e.Events, func(e explainedEvent) bool { return e.Check == eventlog.Contradicted }) {
		return errOtherState
	}
	return nil
}

// chooseBank returns the bank that was named, else SHA-256 or the strongest.
func chooseBank(banks []pcr.Bank, named string) (pcr.Bank, error) {
	switch {
	case named != "":
		b, err := pcr.ParseBank(named)
		if err != nil {
			return 0, &usageError{err.Error(), "name one with --bank"}
		}
		return b, nil
	case len(banks) == 0:
		return 0, fmt.Errorf("the log is of no bank that is known here")
	case slices.Contains(banks, pcr.SHA256):
		return pcr.SHA256, nil
	}
	return banks[len(banks)-1], nil
}

func explainLog(l eventlog.Log, s eventlog.Supposed) explained {
	x := explained{Note: noQuote, Bank: s.Bank(), Banks: l.Banks(), PCRs: map[string]string{}, Types: map[string]string{}, Events: []explainedEvent{}}
	for i := range pcr.Count {
		if value, ok := s.PCR(i); ok {
			x.PCRs[fmt.Sprint(i)] = hex.EncodeToString(value)
		}
	}
	for _, e := range s.Events() {
		if meaning := e.Type().Meaning(); meaning != "" {
			x.Types[e.Type().String()] = meaning
		}
		x.Events = append(x.Events, explainedEvent{
			Number: e.Number(), Offset: e.Offset(), PCR: e.PCR(), Type: e.Type().String(), Check: e.Check(),
			Digest: hex.EncodeToString(e.Digest()), Measured: e.Measured(), Claimed: e.Claimed(), Quirk: e.Quirk(),
		})
	}
	for _, m := range s.Measurements() {
		e := explainedMeasurement{Number: m.Number(), PCR: m.PCR(), Check: eventlog.DigestOnly, Digest: hex.EncodeToString(m.Digest())}
		e.Claimed, e.Kind = m.Claim()
		if text, ok := m.Text(); ok {
			e.Check, e.Measured, e.Claimed = eventlog.Checked, text, ""
		}
		x.Systemd = append(x.Systemd, e)
	}
	return x
}

func (p *program) writeExplained(w io.Writer, x explained) {
	t := table{heading: []string{"EVENT", "PCR", "TYPE", "DIGEST", "MEASURED", "THE LOG SAYS"}}
	for _, e := range x.Events {
		measured := e.Measured
		if measured == "" {
			measured = fmt.Sprintf("%v:%s", x.Bank, short(e.Digest))
		}
		t.add(cell{text: fmt.Sprint(e.Number)}, cell{text: fmt.Sprint(e.PCR)}, cell{text: e.Type}, checkCell(e.Check), cell{text: measured}, cell{text: e.Claimed})
	}
	t.write(w, p.coloured(w))
	x.writeSystemd(w, p.coloured(w))
	x.writeTypes(w)
	fmt.Fprintf(w, "\nPCRs that the log leads to, %v:\n", x.Bank)
	for i := range pcr.Count {
		if value, ok := x.PCRs[fmt.Sprint(i)]; ok {
			fmt.Fprintf(w, "%4d  %s\n", i, value)
		}
	}
}

// writeSystemd shows what systemd measured behind the events.
func (x explained) writeSystemd(w io.Writer, coloured bool) {
	if len(x.Systemd) == 0 {
		return
	}
	fmt.Fprintln(w, "\nWhat systemd measured while the system ran, which leads on from the PCRs below:")
	t := table{heading: []string{"RECORD", "PCR", "KIND", "DIGEST", "MEASURED", "THE LOG SAYS"}}
	for _, m := range x.Systemd {
		measured := m.Measured
		if measured == "" {
			measured = fmt.Sprintf("%v:%s", x.Bank, short(m.Digest))
		}
		t.add(cell{text: fmt.Sprint(m.Number)}, cell{text: fmt.Sprint(m.PCR)}, cell{text: m.Kind}, checkCell(m.Check), cell{text: measured}, cell{text: m.Claimed})
	}
	t.write(w, coloured)
}

// writeTypes says what the types that occur are of.
func (x explained) writeTypes(w io.Writer) {
	t := table{heading: []string{"TYPE", "WHAT IT IS OF"}}
	for _, name := range slices.Sorted(maps.Keys(x.Types)) {
		t.add(cell{text: name}, cell{text: x.Types[name]})
	}
	fmt.Fprintln(w)
	t.write(w, false)
}

// checkCell is a check in its colour.
func checkCell(c eventlog.Check) cell {
	switch c {
	case eventlog.Checked:
		return cell{string(c), green}
	case eventlog.Contradicted:
		return cell{string(c), red}
	}
	return cell{string(c), yellow}
}
