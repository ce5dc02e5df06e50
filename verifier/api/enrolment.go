package api

import (
	"net/http"
	"slices"

	"quicklime/verifier/identity"
	"quicklime/verifier/pcrpolicy"
	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
)

// readEnrolment reads an enrolment whose identity hangs together: what it
// returns may be pinned (I06).
func readEnrolment(r *http.Request) (rest.Enrolment, error) {
	var e rest.Enrolment
	if err := rest.ReadJSON(r, rest.MaxSmallBody, &e); err != nil {
		return rest.Enrolment{}, err
	}
	if !wire.ValidID(e.ID) {
		return rest.Enrolment{}, rest.Errorf(rest.CodeBadRequest, "%q is not an agent id", e.ID).
			WithHint("an agent id is 64 lower-case hexadecimal digits")
	}
	if err := checkLabel(e.Label); err != nil {
		return rest.Enrolment{}, err
	}
	for _, name := range []string{e.Policy, e.BootPolicy} {
		if err := checkPolicy(name); err != nil {
			return rest.Enrolment{}, err
		}
	}
	if !e.LowestBank.Known() {
		return rest.Enrolment{}, rest.Errorf(rest.CodeInvalid, "lowest_bank names no bank that this verifier can replay").
			WithHint("name the weakest PCR bank whose quotes count; sha256 is the usual one")
	}
	if err := checkTPMPolicy(e.TPMPolicy, e.LowestBank); err != nil {
		return rest.Enrolment{}, err
	}
	if _, err := identity.Check(e.ID, e.EKPublic, e.AKPublic, e.Transport); err != nil {
		return rest.Enrolment{}, rest.Errorf(rest.CodeInvalid, "%v", err)
	}
	return e, nil
}

// readUpdate reads an update that changes something.
func readUpdate(r *http.Request) (u rest.AgentUpdate, err error) {
	if err := rest.ReadJSON(r, rest.MaxSmallBody, &u); err != nil {
		return u, err
	}
	if u == (rest.AgentUpdate{}) {
		return u, rest.Errorf(rest.CodeInvalid, "the update changes nothing")
	}
	if u.Label != nil {
		err = checkLabel(*u.Label)
	}
	for _, name := range []*string{u.Policy, u.BootPolicy} {
		if err == nil && name != nil {
			err = checkPolicy(*name)
		}
	}
	if err == nil && u.TPMPolicy != nil {
		err = checkTPMPolicy(*u.TPMPolicy, 0) // the enrolment's lowest bank the verifier knows
	}
	return u, err
}

// checkTPMPolicy accepts a TPM policy with values that count for each of its PCRs,
// and none at all.
func checkTPMPolicy(text rest.Text, lowest pcr.Bank) error {
	if text == "" {
		return nil
	}
	p, err := pcrpolicy.Parse([]byte(text))
	if err != nil {
		return rest.Errorf(rest.CodeInvalid, "the TPM policy cannot be used:\n%v", err).WithHint(hintTPMPolicy)
	}
	return WeakTPMPolicy(p, lowest)
}

const hintTPMPolicy = `it is Keylime's tpm_policy, such as {"16": ["<hex>"]}`

// WeakTPMPolicy refuses a TPM policy with a PCR whose values are all of banks that
// are weaker than the lowest one of an enrolment.
func WeakTPMPolicy(p *pcrpolicy.Policy, lowest pcr.Bank) error {
	if weak := p.Weak(lowest); weak != 0 {
		return rest.Errorf(rest.CodeInvalid, "the TPM policy lists no value of bank %v or a stronger one for PCRs %v, and the enrolment lets no weaker one count", lowest, slices.Collect(weak.All())).
			WithHint("list the PCRs' values in a stronger bank")
	}
	return nil
}

func checkLabel(label string) error {
	if wire.Printable(label, wire.MaxLabel) {
		return nil
	}
	return rest.Errorf(rest.CodeBadRequest, "the label is not printable text of at most %d bytes", wire.MaxLabel)
}

// checkPolicy accepts the name of a policy, and no name at all: that is "not
// evaluated" (I21).
func checkPolicy(name string) error {
	if name == "" {
		return nil
	}
	return checkName(name)
}
