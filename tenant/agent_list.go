package tenant

import (
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"quicklime/wire"
	"quicklime/wire/rest"
)

// The states of a machine that is not enrolled, or not known to be, beside
// wire.Trust.
const (
	stateRegistered = "registered" // the registrar knows it, the verifier does not
	stateUnknown    = "unknown"    // the verifier did not answer
)

// listed is one machine in the JSON of "agent list".
type listed struct {
	ID          string         `json:"id"`
	Label       string         `json:"label"`
	State       string         `json:"state"` // registered, unknown or a wire.Trust
	Reason      string         `json:"reason,omitempty"`
	Registered  bool           `json:"registered"`
	Enrolled    bool           `json:"enrolled"`
	EKVendor    string         `json:"ek_vendor,omitempty"`
	EKTrusted   bool           `json:"ek_trusted"`
	OfferedKeys int            `json:"offered_keys,omitempty"` // registrations with other keys than those in force
	Policies    *rest.Policies `json:"policies,omitempty"`
	Entries     uint64         `json:"entries"`
	Severity    string         `json:"severity,omitempty"` // the highest label that stands
	Failures    int            `json:"failure_count"`
	Tolerated   int            `json:"tolerated_count,omitempty"` // of Failures: those that do not make untrusted
	Cleared     *rest.Cleared  `json:"cleared,omitempty"`
	SeenAt      time.Time      `json:"last_registration,omitzero"`
	LastSeen    time.Time      `json:"last_seen,omitzero"` // its last attestation
}

// listing is the JSON of "agent list".
type listing struct {
	Agents     []listed `json:"agents"`
	Unreadable int      `json:"unreadable,omitempty"`
	Problems   []string `json:"problems,omitempty"` // servers that did not answer
}

func (p *program) agentList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List every registered or enrolled machine",
		Args:  exactly(0, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := p.connect()
			if err != nil {
				return err
			}
			all := s.inventory(c.Context())
			if err := p.showInventory(all); err != nil {
				return err
			}
			return all.err()
		},
	}
}

// showInventory shows what is known, even if one server did not answer.
func (p *program) showInventory(all inventory) error {
	out := listing{Agents: []listed{}, Unreadable: all.unreadable}
	for _, k := range all.machines {
		out.Agents = append(out.Agents, list(k, all.verifier == nil))
	}
	for _, err := range []error{all.registrar, all.verifier} {
		if err != nil {
			out.Problems = append(out.Problems, err.Error())
		}
	}
	if all.unreadable > 0 {
		p.warn("%s left out, of which the records cannot be read; the servers' logs name them",
			counted(all.unreadable, "machine is", "machines are"))
	}
	return p.show(out, func(w io.Writer) {
		if len(out.Agents) == 0 {
			if all.err() == nil {
				p.say("no machine has registered yet; %q makes a token for one", name+" join-token create")
			}
			return
		}
		p.agentTable(out.Agents, all.registrar == nil).write(w, p.coloured(w))
	})
}

// list is what the list says of one machine. The verifier's silence means "not
// enrolled" only if it answered.
func list(k known, verifierAnswered bool) listed {
	l := listed{ID: k.id, Label: k.label(), State: stateUnknown}
	if verifierAnswered {
		l.State = stateRegistered
	}
	if m := k.machine; m != nil {
		l.Registered, l.EKVendor, l.EKTrusted, l.SeenAt = true, m.EKVendor, m.EKTrusted, m.SeenAt
		if m.Offered != nil {
			l.OfferedKeys = m.Offered.Count
		}
	}
	if a := k.agent; a != nil {
		l.Enrolled, l.State, l.Reason, l.Policies, l.Cleared = true, string(a.Trust), a.Reason, &a.Policies, a.Cleared
		l.Severity, l.Failures, l.Tolerated = a.Severity, a.FailureCount, a.ToleratedCount
		if a.Epoch != nil {
			l.Entries = a.Epoch.Entries
		}
		if a.Last != nil {
			l.LastSeen = a.Last.At
		}
	}
	return l
}

// agentTable lays the list out for a person.
func (p *program) agentTable(agents []listed, registrarAnswered bool) *table {
	t := &table{heading: []string{"ID", "LABEL", "EK", "STATE", "POLICY", "BOOT POLICY", "ENTRIES", "LAST SEEN", "NOTE"}}
	for _, l := range agents {
		policy, boot, entries, seen := "-", "-", "-", "-"
		if l.Policies != nil {
			policy, boot, entries = l.Policies.Runtime, l.Policies.Boot, fmt.Sprint(l.Entries)
		}
		if !l.LastSeen.IsZero() {
			seen = p.ago(l.LastSeen)
		}
		row := plain(short(l.ID), l.Label, ekWords(l, registrarAnswered), l.State, policy, boot, entries, seen, notes(l, registrarAnswered))
		row[3] = stateCell(l.State)
		t.add(row...)
	}
	return t
}

// ekWords says whose EK it is and whether its certificate is trusted, in a word that is
// no state of the machine: lines are searched for "trusted".
func ekWords(l listed, registrarAnswered bool) string {
	switch {
	case !registrarAnswered:
		return stateUnknown
	case !l.Registered:
		return "-"
	case l.EKVendor == "" && !l.EKTrusted:
		return "not verified"
	case !l.EKTrusted:
		return vendor(l.EKVendor) + ", not verified"
	}
	return vendor(l.EKVendor) + ", verified"
}

// vendor returns the four letters that a TPM vendor id usually spells, as "IFX"
// for id:49465800 (TCG EK Credential Profile 2.6, section 3.1.2), or the id.
func vendor(id string) string {
	digits, ok := strings.CutPrefix(id, "id:")
	b, err := hex.DecodeString(digits)
	if letters := strings.TrimRight(string(b), "\x00 "); ok && err == nil && len(b) == 4 && wire.Printable(letters, 4) && letters != "" {
		return letters
	}
	if id == "" {
		return "vendor not named"
	}
	return id
}

// notes are what needs the operator's attention.
func notes(l listed, registrarAnswered bool) string {
	var all []string
	if l.Severity != "" {
		all = append(all, "severity "+l.Severity)
	}
	if l.Tolerated > 0 {
		all = append(all, counted(l.Tolerated, "failure", "failures")+" tolerated")
	}
	if l.OfferedKeys > 0 {
		all = append(all, "came with other keys "+counted(l.OfferedKeys, "time", "times")+": agent rebind")
	}
	if !l.Registered && registrarAnswered {
		all = append(all, "not at the registrar")
	}
	if l.Cleared != nil {
		all = append(all, counted(l.Cleared.Count, "failure", "failures")+" cleared")
	}
	return strings.Join(all, "; ")
}
