package verifier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"quicklime/verifier/api"
	"quicklime/verifier/policy/dsse"
	"quicklime/verifier/store"
	"quicklime/wire/daemon"
	"quicklime/wire/rest"
)

// signatures reads whom the operator trusts to sign policies.
func (c Config) signatures() (api.Signatures, error) {
	s := api.Signatures{Keys: new(dsse.Keys), Required: c.RequireSignedPolicies, Now: time.Now}
	for _, file := range c.PolicyKeys {
		if err := addKeys(s.Keys, file); err != nil {
			return s, fmt.Errorf("policy_keys: %s: %w", file, err)
		}
	}
	return s, nil
}

func addKeys(k *dsse.Keys, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if perm := st.Mode().Perm(); perm&0o022 != 0 {
		return fmt.Errorf("it has mode %04o, so that others may make themselves trusted; look at what is in it, and run: chmod go-w %s", perm, file)
	}
	b, err := io.ReadAll(io.LimitReader(f, dsse.MaxKeyFile+1))
	if err != nil {
		return err
	}
	return k.Add(b)
}

// checkStored refuses to begin with policies in the database that nobody signed who
// is trusted now, if all must be signed. A certificate must have been valid when the
// policy was taken: one that has run out since makes nothing wrong that was right.
func checkStored(ctx context.Context, s *store.Store, by api.Signatures) error {
	if !by.Required {
		return nil
	}
	wrong := errors.Join(
		checkPolicies(ctx, s.RuntimePolicies, dsse.RuntimePolicy, "policy", (*rest.RuntimePolicy).Common, by.Keys),
		checkPolicies(ctx, s.BootPolicies, dsse.BootPolicy, "boot policy", (*rest.BootPolicy).Common, by.Keys),
	)
	return daemon.WithHint(wrong, `restore the signer in policy_keys, or start with require_signed_policies = false, then replace these policies with signed ones ("sign" and "update" of "quicklime-tenant policy" and "boot-policy") or delete them, and set it again`)
}

// checkPolicies checks all policies of one kind.
func checkPolicies[T any](ctx context.Context, stored store.Policies[T], of dsse.Type, kind string, common func(*T) *rest.Policy, keys *dsse.Keys) error {
	all, err := stored.List(ctx)
	if err != nil {
		return err
	}
	var wrong []error
	for _, one := range all {
		name := common(&one).Name
		if one, err = stored.Signed(ctx, name); err != nil {
			return err
		}
		if err := checkSigned(common(&one), of, keys); err != nil {
			wrong = append(wrong, fmt.Errorf("%s %s: %w", kind, name, err))
		}
	}
	return errors.Join(wrong...)
}

func checkSigned(p *rest.Policy, of dsse.Type, keys *dsse.Keys) error {
	if p.Envelope == "" {
		return errors.New("require_signed_policies is set, and it is not signed")
	}
	e, err := dsse.Parse(of, []byte(p.Envelope))
	if err != nil {
		return err
	}
	v, err := keys.Verify(e, p.UpdatedAt)
	if err != nil {
		return err
	}
	if string(v.Payload()) != p.Text {
		return errors.New("its text in the database is not the one that was signed")
	}
	return nil
}
