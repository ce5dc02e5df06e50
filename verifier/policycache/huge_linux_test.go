package policycache

import (
	"os"
	"strings"
	"testing"

	"quicklime/verifier/policy"
)

// Where there are no huge pages by the administrator's wish, nothing is copied.
func TestNeverIsHeeded(t *testing.T) {
	for mode, never := range map[string]bool{"always madvise [never]\n": true, "always [madvise] never\n": false, "[always] madvise never\n": false} {
		c, log := open(t, t.TempDir())
		enabled := c.dir + "/enabled"
		if err := os.WriteFile(enabled, []byte(mode), 0o600); err != nil {
			t.Fatal(err)
		}
		c.huge.advise = func(b []byte) error { return advise(b, enabled) }
		c.Add(large()).Near(policy.ShapeNG)
		if refused := strings.Contains(log.String(), enabled+" is never"); refused != never {
			t.Errorf("%q: refused %v: %s", mode, refused, log)
		}
	}
}
