package tenant

import (
	"errors"
	"fmt"

	"quicklime/verifier/pcrpolicy"
	"quicklime/verifier/policy"
	"quicklime/wire/daemon"
	"quicklime/wire/rest"
)

// tpmPolicy reads a TPM policy that is given as it is or by the name of a file.
func (p *program) tpmPolicy(given string) (rest.Text, error) {
	text := []byte(given)
	if given == "" || given[0] != '{' {
		var err error
		if text, err = p.readFile(given, pcrpolicy.MaxText); err != nil {
			return "", err
		}
	}
	_, err := pcrpolicy.Parse(text)
	var problems *policy.Error
	if errors.As(err, &problems) {
		return "", daemon.WithHint(fmt.Errorf("the TPM policy cannot be used:\n%s", words(problems)), `it is Keylime's tpm_policy, such as {"16": ["<hex>"]}, or a file with it`)
	}
	return rest.Text(text), err
}
