package tenant

import (
	"fmt"
	"strings"
	"time"

	"quicklime/tenant/ca"
	"quicklime/wire/payload"
	"quicklime/wire/rest"
)

// payloadView is the JSON of a payload: what the verifier knows, and what the
// machine's receipt says if it holds.
type payloadView struct {
	Agent string `json:"agent"`
	Label string `json:"label,omitempty"` // of a list of all machines
	rest.Payload
	State   string   `json:"state"`            // one of the words of payloadStates
	Checked bool     `json:"receipt_checked"`  // the state is the machine's own word
	Doubt   string   `json:"doubt,omitempty"`  // why the receipt does not count
	Reason  string   `json:"reason,omitempty"` // why it failed, was refused or withdrawn
	Files   uint64   `json:"files,omitempty"`  // in its directory
	Run     *runView `json:"run,omitempty"`    // what became of the program in it

	Certificate *ca.Entry `json:"certificate,omitempty"` // that was issued for it just now
}

// runView is what became of a program that was run.
type runView struct {
	Exit   int64     `json:"exit_code"` // -1: it was killed
	At     time.Time `json:"ended_at"`
	Output string    `json:"output"`
	Cut    bool      `json:"output_cut"`
}

// The states of a payload, as the operator is told.
const (
	payloadUploading = "uploading"
	payloadWaiting   = "waiting"     // for the machine to be trusted and to fetch it
	payloadReleased  = "released"    // the verifier gave its share; no receipt yet
	payloadRefused   = "refused"     // by the machine
	payloadStored    = "stored"      // the machine has it
	payloadFailed    = "failed"      // the machine opened it and could not unpack it
	payloadWithdraw  = "withdrawing" // the machine has not said that it is wiped
	payloadWithdrawn = "withdrawn"   // wiped
	payloadExpired   = "expired"     // nobody gets it any more
	payloadForged    = "forged"      // the receipt is not the machine's
)

// viewPayload puts together what is known of a payload.
func (c Config) viewPayload(agent string, p rest.Payload, now time.Time) (payloadView, error) {
	v := payloadView{Agent: agent, Payload: p}
	r, ok, err := c.receipt(agent, p)
	if err != nil {
		return v, err
	}
	v.State = stateWithoutReceipt(p, now)
	refusal := ""
	if v.State == payloadRefused {
		refusal = p.Refusal
	}
	switch {
	case !ok:
		v.Reason = refusal
		return v, nil
	case strings.HasPrefix(r.doubt, "FORGED"):
		v.State, v.Doubt = payloadForged, r.doubt
		return v, nil
	}
	v.Checked, v.Doubt = r.checked, r.doubt
	v.Files, v.Reason = r.outcome.Files, r.outcome.Reason
	if run := r.outcome.Run; run != nil {
		v.Run = &runView{run.Exit, time.Unix(int64(run.At), 0).UTC(), string(run.Output), run.Cut}
	}
	switch {
	case p.Refusal != "" && p.WithdrawnAt == nil:
		v.Reason = refusal
	case r.outcome.State == payload.Withdrawn:
		v.State = payloadWithdrawn
	case p.WithdrawnAt != nil:
		v.State = payloadWithdraw
	case r.outcome.State == payload.Stored:
		v.State = payloadStored
	case r.outcome.State == payload.Failed:
		v.State = payloadFailed
	}
	return v, nil
}

func stateWithoutReceipt(p rest.Payload, now time.Time) string {
	switch {
	case p.WithdrawnAt != nil && p.Releases == 0:
		return payloadWithdrawn // no machine ever had it
	case p.WithdrawnAt != nil:
		return payloadWithdraw
	case !now.Before(p.ExpiresAt):
		return payloadExpired
	case p.Refusal != "":
		return payloadRefused
	case !p.Complete:
		return payloadUploading
	case p.Releases > 0:
		return payloadReleased
	}
	return payloadWaiting
}

// words is the state in a line.
func (v payloadView) words() string {
	s := v.State
	switch v.State {
	case payloadUploading:
		s += fmt.Sprintf(", %s of %s", byteSize(v.Received), byteSize(v.Sealed))
	case payloadStored:
		s += ", " + counted(v.Files, "file", "files")
	}
	if v.Run != nil {
		s += fmt.Sprintf(", its program exited %d", v.Run.Exit)
	}
	if v.Reason != "" {
		s += ": " + v.Reason
	}
	if v.Doubt != "" {
		s += " (" + v.Doubt + ")"
	}
	return s
}

// byteSize shows a number of bytes in the unit that fits.
func byteSize(n uint64) string {
	switch {
	case n < 10<<10:
		return counted(n, "byte", "bytes")
	case n < 10<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// stateColour is the colour of a payload's state.
func (v payloadView) stateColour() colour {
	switch v.State {
	case payloadStored:
		return green
	case payloadWithdrawn:
		if v.WithdrawnAt != nil {
			return green
		}
	case payloadRefused, payloadFailed, payloadForged, payloadExpired:
		return red
	}
	return yellow
}
