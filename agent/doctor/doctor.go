// Package doctor finds out what a machine lacks that is to attest: IMA, a TPM, the
// rights to use them, and what its IMA policy does not measure.
package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"quicklime/wire/daemon"
	"quicklime/wire/pcr"
)

// State is what a finding means.
type State string

const (
	OK      State = "ok"      // nothing to do
	Note    State = "note"    // attests, and somebody may want it otherwise
	Lacking State = "lacking" // something is not attested, or nothing is
)

// Finding is one thing that was looked at.
type Finding struct {
	Check string `json:"check"`
	State State  `json:"state"`
	Seen  string `json:"seen"`
	Do    string `json:"do,omitempty"` // what to do about it
}

// TPM is what the doctor asks of a TPM. *tpmdev.Device is one.
type TPM interface {
	ActiveBanks() ([]pcr.Bank, error)
	ReadPCRs(sel pcr.Selection) (pcr.Values, error)
	Close() error
}

// Machine is where to look.
type Machine struct {
	IMAList   string              // the kernel's binary measurement list
	TPMDevice string              // for words
	OpenTPM   func() (TPM, error) // the error says what to do
	Probe     func() error        // whether the kernel's event can be had, and if not, why
	Root      string              // in front of the paths below /proc, /sys and /etc; "" but in tests
}

// Report is everything that was found.
type Report []Finding

// Examine looks at everything.
func (m Machine) Examine() Report {
	r := &Report{}
	list := m.list(r)
	if list.exists {
		m.violations(r)
		m.policy(r)
	}
	m.kexec(r)
	m.tpm(r, list.aggregate)
	m.event(r)
	return *r
}

func (r *Report) add(check string, s State, seen, do string) {
	*r = append(*r, Finding{check, s, seen, do})
}

// Lacks reports whether something is lacking.
func (r Report) Lacks() bool {
	for _, f := range r {
		if f.State == Lacking {
			return true
		}
	}
	return false
}

// WriteJSON writes {"lacking": bool, "findings": [...]}.
func (r Report) WriteJSON(w io.Writer) error {
	return json.NewEncoder(w).Encode(struct {
		Lacking  bool   `json:"lacking"`
		Findings Report `json:"findings"`
	}{r.Lacks(), r})
}

// WriteTable writes the findings for a person, each that is not ok with what to do.
func (r Report) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range r {
		fmt.Fprintf(t, "%s\t%s\t%s\n", f.State, f.Check, daemon.Printable(f.Seen))
		if f.Do != "" {
			fmt.Fprintf(t, "\t\t→ %s\n", daemon.Printable(f.Do))
		}
	}
	return t.Flush()
}

// path is that of a file of the machine.
func (m Machine) path(name string) string { return filepath.Join(m.Root, name) }

// beside is a file in the directory of the list.
func (m Machine) beside(name string) string { return filepath.Join(filepath.Dir(m.IMAList), name) }

// word returns the word of a file of the kernel's that is in brackets, such as
// "integrity" in "none [integrity] confidentiality".
func word(s string) string {
	_, s, _ = strings.Cut(s, "[")
	s, _, _ = strings.Cut(s, "]")
	return s
}
