package api

import (
	"net/http"

	"quicklime/verifier/identity"
	"quicklime/wire"
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
	if err := checkPolicy(e.Policy); err != nil {
		return rest.Enrolment{}, err
	}
	if !e.LowestBank.Known() {
		return rest.Enrolment{}, rest.Errorf(rest.CodeInvalid, "lowest_bank names no bank that this verifier can replay").
			WithHint("name the weakest PCR bank whose quotes count; sha256 is the usual one")
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
	if u.Label == nil && u.Policy == nil {
		return u, rest.Errorf(rest.CodeInvalid, "the update changes nothing")
	}
	if u.Label != nil {
		err = checkLabel(*u.Label)
	}
	if err == nil && u.Policy != nil {
		err = checkPolicy(*u.Policy)
	}
	return u, err
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
