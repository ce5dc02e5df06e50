package rest

import "time"

// BootPolicy is a named boot policy. Text is Keylime's measured-boot reference
// state, as in RuntimePolicy.
type BootPolicy struct {
	Name       string    `json:"name"`
	Digest     string    `json:"digest,omitempty"` // SHA-256 of Text
	Text       string    `json:"text,omitempty"`   // not in lists
	UpdatedAt  time.Time `json:"updated_at,omitzero"`
	Agents     int       `json:"agents"`             // how many are judged under it
	SecureBoot bool      `json:"secure_boot"`        // must be on
	Firmwares  int       `json:"firmwares"`          // alternatives for PCR 0
	Kernels    int       `json:"kernels"`            // alternatives for what is booted
	Unknown    []string  `json:"unknown,omitempty"`  // members that are kept and not understood
	Warnings   []string  `json:"warnings,omitempty"` // what is not judged as its author may think; when it is added or replaced
}

// BootPolicyRequest adds or replaces a boot policy. The name may be left out of a
// replacement, whose path has it.
type BootPolicyRequest struct {
	Name string `json:"name,omitempty"`
	Text Text   `json:"text"`
}

// BootLog answers GetBootLog.
type BootLog struct {
	Epoch   string `json:"epoch"`             // the boot that it is of
	Log     []byte `json:"log"`               // the firmware's, as Linux has it in binary_bios_measurements
	Systemd []byte `json:"systemd,omitempty"` // systemd's own, /run/log/systemd/tpm2-measure.log, as it came last
	Proven  []int  `json:"proven"`            // PCRs that the last quote covers and the logs lead to
}

// BootPolicyList answers ListBootPolicies.
type BootPolicyList struct {
	Policies []BootPolicy `json:"policies"`
}
