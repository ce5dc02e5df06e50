package api

import (
	"quicklime/verifier/bootpolicy"
	"quicklime/verifier/policy/dsse"
	"quicklime/wire/rest"
)

// maxBootPolicyBody bounds the body of a boot policy: each byte of its text may
// take two, as quotes and line breaks do, and few take more.
const maxBootPolicyBody = 2*bootpolicy.MaxReference + 4<<10 // bytes

func bootPolicies(v Verifier, s Signatures) policies[rest.BootPolicy] {
	compile := func(common rest.Policy) (rest.BootPolicy, error) {
		p, err := bootpolicy.Parse([]byte(common.Text))
		if err != nil {
			return rest.BootPolicy{}, rest.Errorf(rest.CodeInvalid, "%v", err)
		}
		common.Digest, common.Unknown, common.Warnings = p.Digest(), p.Unknown(), p.Warnings()
		return rest.BootPolicy{Policy: common, SecureBoot: p.SecureBoot(), Firmwares: p.Firmwares(), Kernels: p.Kernels()}, nil
	}
	return policies[rest.BootPolicy]{v.BootPolicies(), "boot policy", "boot-policy", hintBoot, dsse.BootPolicy, s, maxBootPolicyBody, checkBootName, compile}
}

// checkBootName refuses what cannot name a boot policy that judges something.
func checkBootName(name string) error {
	if _, ok := bootpolicy.Named(name); ok {
		return rest.Errorf(rest.CodeBadRequest, "%q is no reference state of yours, but the name of a policy of Keylime's", name).
			WithHint("choose another name; an agent without a boot policy is what accept-all would be, and its status says so")
	}
	return checkName(name)
}
