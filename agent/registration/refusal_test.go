package registration

import (
	"errors"
	"strings"
	"testing"

	"quicklime/wire"
)

func TestEveryRefusalIsExplained(t *testing.T) {
	told := map[string]wire.Refusal{}
	for _, why := range []wire.Refusal{
		wire.RefusedToken, wire.RefusedEK, wire.RefusedCertificate, wire.RefusedKeys, wire.RefusedProof, wire.RefusedInternal, "of a later version",
	} {
		e, ok := errors.AsType[*Error](refusal(why))
		if !ok || e.Why != why || e.Hint == "" || !strings.HasPrefix(e.Error(), "the registrar refused: ") || told[e.Error()] != "" {
			t.Errorf("%s is explained as %v", why, e)
		}
		told[e.Error()] = why
	}
}
