package appraise

import (
	"quicklime/ima"
	"quicklime/verifier/policy"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// Preview replays and judges a whole list, as for a benchmark: no quote is looked at, and
// not that the list is of a boot.
func Preview(list []byte, p *policy.Policy) (wire.Result, error) {
	var j judge
	j.under(p)
	r, err := ima.Replay(ima.NewState(pcr.SHA256), list, &j)
	if err != nil {
		return wire.Result{}, err
	}
	j.conclude(r)
	return j.result, nil
}
