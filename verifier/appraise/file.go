package appraise

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"

	"quicklime/ima"
	"quicklime/ima/digsig"
	"quicklime/verifier/policy"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// file judges a file event. A denial wins over all; then a listed digest, an
// exclusion or a good signature allows.
func (j *judge) file(ev ima.Event) []wire.Failure {
	aggregate := string(ev.Name) == ima.BootAggregate
	if aggregate && j.quoted {
		if f, ok := j.bootAggregate(ev); !ok {
			return append([]wire.Failure{f}, j.listed(ev, aggregate)...)
		}
	}
	return j.listed(ev, aggregate)
}

// listed judges a file event by the policy.
func (j *judge) listed(ev ima.Event, aggregate bool) []wire.Failure {
	if j.policy == nil {
		return nil
	}
	f := wire.Failure{Path: Path(ev.Name), Got: digest(ev)}
	if f.Message = denied(j.policy, ev); f.Message != "" {
		f.ID = wire.IMADenied
		return []wire.Failure{f}
	}
	d := j.policy.JudgeFile(ev.Name, ev.Algorithm, ev.Digest)
	if d.Verdict.OK() || d.Verdict == policy.NotInPolicy && aggregate {
		return nil
	}
	err := j.signed(ev)
	if err == nil {
		return nil
	}
	f.ID, f.Message, f.Expected = wire.IMANotInPolicy, "the policy does not list the file", d.Expected
	if d.Verdict == policy.WrongDigest {
		f.ID, f.Message = wire.IMAWrongDigest, wrongDigest(d)
	}
	if !errors.Is(err, digsig.ErrNoSignature) {
		f.ID, f.Message = wire.IMAInvalidSignature, fmt.Sprintf("%s, and its signature does not vouch for it: %v", f.Message, err)
	}
	return []wire.Failure{f}
}

func wrongDigest(d policy.Decision) string {
	if d.More > 0 {
		return fmt.Sprintf("the file's digest is none that the policy lists for it, of which %d more are not shown", d.More)
	}
	return "the file's digest is none that the policy lists for it"
}

// denied says what the policy forbids of an event; empty: nothing. A file with an appended
// signature has two digests.
func denied(p *policy.Policy, ev ima.Event) string {
	digest, name := "the file's digest", "the file's path"
	if ev.Buffer != nil {
		digest, name = "the buffer's digest", "the buffer's name"
	}
	d := p.Denies(ev.Name, ev.Algorithm, ev.Digest)
	if d == policy.DeniedNothing && ev.Modsig.Digest != nil {
		d = p.Denies(ev.Name, ev.Modsig.Algorithm, ev.Modsig.Digest)
	}
	switch d {
	case policy.DeniedDigest:
		return "the policy denies " + digest
	case policy.DeniedPath:
		return "the policy denies " + name
	}
	return ""
}

// signed checks that a key that is trusted now has signed the file, or its metadata
// with its digest. The error is digsig.ErrNoSignature if there is nothing to check,
// or nobody who could have signed.
func (j *judge) signed(ev ima.Event) (err error) {
	if len(j.vouch) == 0 {
		return digsig.ErrNoSignature
	}
	d := digsig.Digest{Type: digsig.File, Hash: digsig.HashOf(ev.Algorithm), Sum: ev.Digest}
	if ev.Verity {
		d.Type = digsig.Verity
	}
	s, err := digsig.Parse(ev.Signature)
	if err == nil {
		j.by, err = s.Verify(d, j.vouch...)
	}
	if err == nil || !ev.EVM.Complete || ev.EVM.Signature == nil {
		return err
	}
	if s, err = digsig.Parse(ev.EVM.Signature); err != nil {
		return err
	}
	m := digsig.Metadata{Names: ev.EVM.XattrNames, Lengths: ev.EVM.XattrLengths, Values: ev.EVM.XattrValues,
		UID: ev.EVM.UID, GID: ev.EVM.GID, Mode: ev.EVM.Mode}
	j.two = true
	_, err = m.Verify(s, d, j.vouch...)
	return err
}

// bootAggregate compares the entry with the quoted PCRs (kernel:
// security/integrity/ima/ima_crypto.c, ima_calc_boot_aggregate_tfm, since 5.8):
// the hash of PCRs 0 to 9 in the bank of its own algorithm, PCRs 0 to 7 if that is
// sha1 (I19).
func (j *judge) bootAggregate(ev ima.Event) (f wire.Failure, ok bool) {
	last := 9
	if ev.Algorithm == pcr.SHA1 {
		last = 7
	}
	f = wire.Failure{ID: wire.IMABootAggregate, Path: ima.BootAggregate, Got: digest(ev)}
	values, ok := j.pcrs.Aggregate(ev.Algorithm, 0, last)
	switch {
	case !ok:
		f.Message = fmt.Sprintf("PCRs 0 to %d of its bank were not quoted", last)
	case !bytes.Equal(ev.Algorithm.Sum(values), ev.Digest):
		f.Message = "the list is of another boot than the quoted PCRs"
		f.Expected = []string{ev.Algorithm.String() + ":" + hex.EncodeToString(ev.Algorithm.Sum(values))}
	default:
		return f, true
	}
	return f, false
}
