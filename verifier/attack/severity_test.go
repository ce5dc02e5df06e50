package attack_test

import (
	"fmt"

	"quicklime/ima"
	"quicklime/verifier/severity"
	"quicklime/wire"
)

// severities are the severity policies of groups' sites, of those that have one. A
// file that has another digest than the policy lists is tolerated where machines
// update themselves.
var severities = map[string][]severity.Rule{"floods": {{EventID: string(wire.IMAWrongDigest), Label: "error"}}}

// floods hide what counts behind what is tolerated.
var floods = []attack{
	{"a thousand tolerated failures, and then one that counts", refuser{does: "`wire.Result.Fail`: what is tolerated takes no room from what is not"},
		sight{failure: wire.IMANotInPolicy}, func(k *session) {
			k.updated(wire.MaxKeptFailures)
			k.measure(miner)
			k.attest()
		}},
	{"the same, one evidence after the other", refuser{does: "`verifier/store.addFailures`: each label has room of its own"},
		sight{failure: wire.IMANotInPolicy}, func(k *session) {
			for range 3 {
				k.updated(wire.MaxKeptFailures / 2)
				k.send(k.testify(k.nonce))
				if v := k.verdict(); v.Trust != wire.Trusted {
					k.t.Fatalf("%+v", v)
				}
			}
			k.measure(miner)
			k.attest()
		}},
}

// updated has the machine run so many versions of a listed program that the policy
// does not know.
func (k *session) updated(versions int) {
	k.t.Helper()
	var all []ima.Entry
	for range versions {
		all = append(all, file("/usr/bin/tool", fmt.Sprint(len(k.list)+len(all))))
	}
	k.measure(all...)
}
