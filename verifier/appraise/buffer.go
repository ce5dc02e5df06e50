package appraise

import (
	"errors"

	"quicklime/ima"
	"quicklime/ima/digsig"
	"quicklime/verifier/policy"
	"quicklime/verifier/policy/dm"
	"quicklime/wire"
)

// buffer judges a buffer event: a key that was loaded into a keyring, what a
// device-mapper device did, or any other. Its digest is that of the buffer. A denial
// wins over all, as of a file; a key that is denied is not learned.
func (j *judge) buffer(ev ima.Event) []wire.Failure {
	if j.policy == nil {
		return nil
	}
	if message := denied(j.policy, ev); message != "" {
		return []wire.Failure{{ID: wire.IMADenied, Path: Path(ev.Name), Got: digest(ev), Message: message}}
	}
	key, err := digsig.ParseCertificate(ev.Buffer)
	switch {
	case (err == nil || errors.Is(err, digsig.ErrUnsupported)) && j.isKeyring(ev.Name):
		return j.key(ev, key)
	case j.policy.HasKeyring(ev.Name):
		return []wire.Failure{{ID: wire.IMAInvalidKey, Path: Path(ev.Name), Got: digest(ev), Message: "what was loaded into the keyring is not read as a certificate: " + err.Error()}}
	case j.policy.Devices() != nil && dm.IsEvent(ev.Name):
		return j.device(ev)
	}
	return opinion(ev, j.policy.JudgeBuffer(ev.Name, ev.Algorithm, ev.Digest), "the policy does not list the buffer")
}

// kexecCmdline is the name of the event of a command line for another kernel, which
// root chooses (kernel: security/integrity/ima/ima_main.c, ima_kexec_cmdline).
const kexecCmdline = "kexec-cmdline"

// isKeyring reports whether what has the form of a certificate is a key in a keyring
// of that name. Whoever can choose the bytes of another buffer can give it that form,
// and would escape judgement where keyrings are ignored.
func (j *judge) isKeyring(name []byte) bool {
	return j.policy.HasKeyring(name) || !j.policy.HasBuffer(name) && string(name) != kexecCmdline && !dm.IsEvent(name)
}

// key judges a key that was loaded, and learns it. A key of a kind that verifies
// nothing here is nil.
func (j *judge) key(ev ima.Event, key *digsig.Key) []wire.Failure {
	if j.policy.IgnoresKeyring(ev.Name) {
		return nil
	}
	d := j.policy.JudgeKey(ev.Name, ev.Algorithm, ev.Digest)
	if !d.Verdict.OK() || key == nil {
		return opinion(ev, d, "the policy does not list the key for the keyring")
	}
	rings, err := j.learned.rings.With(string(ev.Name), key)
	if err != nil {
		return []wire.Failure{{ID: wire.IMAInvalidKey, Path: Path(ev.Name), Got: digest(ev), Message: err.Error()}}
	}
	j.learned.rings = rings
	j.trust()
	return nil
}

// device judges what a device-mapper device did.
func (j *judge) device(ev ima.Event) (failures []wire.Failure) {
	state, found := j.policy.Devices().Judge(j.learned.devices, string(ev.Name), ev.Buffer)
	j.learned.devices = state
	for _, f := range found {
		w := wire.Failure{ID: f.ID, Path: Path(ev.Name), Got: f.Got, Message: f.Message}
		if f.Expected != "" {
			w.Expected = []string{f.Expected}
		}
		failures = append(failures, w)
	}
	return failures
}

// opinion is what a decision about a buffer comes to.
func opinion(ev ima.Event, d policy.Decision, unlisted string) []wire.Failure {
	f := wire.Failure{ID: wire.IMANotInPolicy, Path: Path(ev.Name), Got: digest(ev), Message: unlisted, Expected: d.Expected}
	switch {
	case d.Verdict.OK():
		return nil
	case d.Verdict == policy.WrongDigest:
		f.ID, f.Message = wire.IMAWrongDigest, "its digest is none that the policy lists for it"
	}
	return []wire.Failure{f}
}
