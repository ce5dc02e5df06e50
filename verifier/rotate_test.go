package verifier

import (
	"io"
	"os"
	"testing"
	"time"
)

// Where no verifier has been, nothing is made: whoever rotates may be another user than the
// verifier, who could not read it.
func TestRotateMakesNoAuthority(t *testing.T) {
	cfg := Config{PKIDir: t.TempDir()}
	if err := rotate(cfg, time.Now(), io.Discard); err == nil {
		t.Error("no error")
	}
	if made, err := os.ReadDir(cfg.PKIDir); err != nil || len(made) > 0 {
		t.Errorf("%v, %v", made, err)
	}
}
