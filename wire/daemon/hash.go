package daemon

import (
	"fmt"
	"os"

	"quicklime/ima/chain"
)

// ChooseSHA256 chooses how measurement lists are hashed by QUICKLIME_SHA256 in the
// environment: "portable", "sha-ni", or "auto", which is the default.
func ChooseSHA256() error {
	const variable = "QUICKLIME_SHA256"
	which := os.Getenv(variable)
	if which == "" {
		which = "auto"
	}
	if err := chain.Use(which); err != nil {
		return WithHint(fmt.Errorf("environment variable %s: %w", variable, err), "unset it, or set it to sha-ni or portable")
	}
	return nil
}
