package daemon

import (
	"testing"

	"quicklime/ima/chain"
)

func TestChooseSHA256(t *testing.T) {
	defer func() { _ = chain.Use("auto") }()
	for _, c := range []struct {
		value string
		ok    bool
	}{{"portable", true}, {"sha-ni", true}, {"", true}, {"auto", true}, {"fast", false}} {
		t.Setenv("QUICKLIME_SHA256", c.value)
		if err := ChooseSHA256(); (err == nil) != c.ok {
			t.Errorf("%q: %v", c.value, err)
		}
		if c.value == "portable" && chain.Kernel() != "portable" {
			t.Errorf("%q: %s", c.value, chain.Kernel())
		}
	}
}
