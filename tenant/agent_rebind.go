package tenant

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"quicklime/verifier/identity"
	"quicklime/wire"
	"quicklime/wire/daemon"
	"quicklime/wire/rest"
)

// rebinding is what the flags of "agent rebind" say.
type rebinding struct {
	consent confirmation
}

func (p *program) agentRebind() *cobra.Command {
	var r rebinding
	c := p.onAgent(&cobra.Command{
		Use:   "rebind AGENT",
		Short: "Enrol a known machine anew with the other keys it came with",
		Long: `Enrol a known machine anew with the other keys it came with: after its TPM was
cleared, or for a new generation of keys. The same TPM made them, but whether it is
still your machine is for you to know. Label, policy and lowest bank stay; what was
attested under the old keys is forgotten.`,
	}, &reach{registrar: true, verifier: true}, func(ctx context.Context, s servers, id string) error { return p.rebind(ctx, s, id, r) })
	r.consent.flag(c)
	return c
}

// rebind shows the keys, accepts them at the registrar and then enrols them. If
// it is interrupted in between, the registrar has the new keys in force and
// calling it again does the rest.
func (p *program) rebind(ctx context.Context, s servers, id string, r rebinding) error {
	agent, err := s.enrolled(ctx, id)
	if err != nil {
		return err
	}
	m, err := s.registrar.Machine(ctx, id)
	if err != nil {
		return err
	}
	next, err := newKeys(m, id)
	if err != nil {
		return err
	}
	p.showKeys(m, next)
	if n := agent.FailureCount; n > 0 {
		p.warn("%s forgotten with the old enrolment", counted(n, "standing failure is", "standing failures are"))
	}
	if err := r.consent.ask(p, "rebinding agent "+short(id)+" to these keys"); err != nil {
		return err
	}
	if err := s.accept(ctx, m, next); err != nil {
		return err
	}
	again, err := s.verifier.Rebind(ctx, next.enrolment(agent))
	if m.Offered == nil && isCode(err, rest.CodeConflict) {
		return daemon.WithHint(fmt.Errorf("nothing to rebind: the machine offered no other keys: %w", err),
			"let it join again first, with a token from \"%s join-token create\"", name)
	}
	if err != nil {
		return err
	}
	return p.show(again, func(w io.Writer) {
		fmt.Fprintf(w, "rebound %s  %s: %s\n", short(id), printable(again.Label), printable(stateWords(again)))
	})
}

// keys are a machine's public areas, checked to be an identity of its id.
type keys struct {
	id                string
	ek, ak, transport []byte
}

// newKeys returns the keys that the machine offered, or those in force at the
// registrar if it offered no others since.
func newKeys(m rest.Machine, id string) (keys, error) {
	k := keys{id, m.EKPublic, m.AKPublic, m.Transport}
	if m.Offered != nil {
		k.ak, k.transport = m.Offered.AKPublic, m.Offered.Transport
	}
	if _, err := identity.Check(id, k.ek, k.ak, k.transport); err != nil {
		return keys{}, daemon.WithHint(fmt.Errorf("what the registrar says of %s does not hold: %w", short(id), err),
			"do not rebind it; let the machine register again")
	}
	return k, nil
}

// hash names AK and transport key as rest.AcceptKeysRequest does.
func (k keys) hash() string { return rest.KeysHash(k.ak, k.transport) }

func hashOf(area []byte) string {
	h := sha256.Sum256(area)
	return hex.EncodeToString(h[:])
}

// enrolment is agent's with these keys.
func (k keys) enrolment(agent rest.Agent) rest.Enrolment {
	e := rest.Enrolment{
		ID: k.id, Label: agent.Label, EKPublic: k.ek, AKPublic: k.ak, Transport: k.transport,
		LowestBank: agent.LowestBank, Policy: agent.Policies.Runtime, BootPolicy: agent.Policies.Boot, TPMPolicy: rest.Text(agent.TPMPolicy),
	}
	if e.Policy == wire.NotEvaluated {
		e.Policy = ""
	}
	if e.BootPolicy == wire.NotEvaluated {
		e.BootPolicy = ""
	}
	return e
}

// showKeys tells the operator what he is about to accept.
func (p *program) showKeys(m rest.Machine, next keys) {
	if m.Offered == nil {
		p.say("%s came with no other keys than those in force at the registrar:", short(m.ID))
	} else {
		p.say("%s came with other keys %s, last %s:", short(m.ID), counted(m.Offered.Count, "time", "times"), p.moment(m.Offered.SeenAt))
	}
	t := &table{heading: []string{"SHA-256 OF", "IN FORCE", "NEW"}}
	t.add(plain("AK", hashOf(m.AKPublic), changed(m.AKPublic, next.ak))...)
	t.add(plain("transport key", hashOf(m.Transport), changed(m.Transport, next.transport))...)
	t.write(p.stderr, false)
}

// changed is the hash of a new key, or says that it is the old one.
func changed(old, next []byte) string {
	if bytes.Equal(old, next) {
		return "the same"
	}
	return hashOf(next)
}

// accept puts the keys in force at the registrar, by the hash of what was looked
// at, and sees that it did.
func (s servers) accept(ctx context.Context, m rest.Machine, next keys) error {
	if m.Offered == nil {
		return nil
	}
	now, err := s.registrar.AcceptKeys(ctx, m.ID, next.hash())
	if err != nil {
		return err
	}
	if rest.KeysHash(now.AKPublic, now.Transport) != next.hash() {
		return errors.New("the registrar accepted other keys than those it was told to")
	}
	return nil
}
