package attack_test

import (
	"context"
	"errors"
	"fmt"

	"quicklime/wire"
	"quicklime/wire/rest"
)

const laxName = "lax"

// hasLax adds the policy that allows the miner, if the site does not have it.
func (m *machine) hasLax() {
	m.t.Helper()
	_, err := m.site.verifier.RuntimePolicies().Add(m.t.Context(), laxName, policy(miner))
	if e, ok := errors.AsType[*rest.Error](err); err != nil && (!ok || e.Code != rest.CodeConflict) {
		m.t.Fatal(err)
	}
}

// operator changes his mind.
type operator struct {
	*machine
	ctx context.Context
}

func (v *operator) put(text []byte) error {
	_, err := v.site.verifier.RuntimePolicies().Update(v.ctx, policyName, text)
	return err
}

func (v *operator) assign(name string) error {
	_, err := v.site.verifier.Update(v.ctx, v.id, rest.AgentUpdate{Policy: &name})
	return err
}

func (v *operator) enrolAnew(name string) error {
	if err := v.site.verifier.Delete(v.ctx, v.id); err != nil {
		return err
	}
	return v.enrolUnder(v.ctx, name)
}

// distrusts looks some times whether the machine is trusted.
func (v *operator) distrusts() error {
	for range 5 {
		a, err := v.site.verifier.Agent(v.ctx, v.id)
		if err != nil {
			return err
		}
		if a.Trust == wire.Trusted {
			return fmt.Errorf("trusted under policy %q at revision %d, with %+v", a.Policies.Runtime, a.Revision, a.Last)
		}
	}
	return nil
}

// clear clears what stands, and returns how much that was.
func (v *operator) clear() (int, error) {
	a, err := v.site.verifier.Agent(v.ctx, v.id)
	if err != nil || a.FailureCount == 0 {
		return 0, err
	}
	_, err = v.site.verifier.Clear(v.ctx, a)
	if e, ok := errors.AsType[*rest.Error](err); ok && e.Code == rest.CodeConflict {
		return 0, nil
	}
	return a.FailureCount, err
}
