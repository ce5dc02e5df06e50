package verifier

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"quicklime/verifier/revocation"
	"quicklime/wire/daemon"
	"quicklime/wire/pki"
)

// rotate makes another revocation key, and says what is to do then.
func rotate(cfg Config, now time.Time, stdout io.Writer) error {
	// Neither a slip of the pen nor another user than the verifier is to make a CA.
	if _, err := os.Stat(filepath.Join(cfg.PKIDir, "ca.crt")); err != nil {
		return daemon.WithHint(fmt.Errorf("there is no authority in pki_dir: %w", err), "the verifier makes it, and the revocation key, at its first start")
	}
	ca, err := pki.Open(cfg.PKIDir)
	if err != nil {
		return err
	}
	r, err := revocation.Rotate(ca, now)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "The revocation key is another one: number %d.\n  was  %s\n  is   %s\n", r.Number, r.Was.ID(), r.Is.ID())
	fmt.Fprintf(stdout, "next: give %s to those who check webhooks by it\n      restart the verifier, which signs with it from then on; its agents follow\n", filepath.Join(cfg.PKIDir, "revocation.pub"))
	if _, err := os.Lstat(filepath.Join(cfg.PKIDir, "revocation-keylime.key")); err == nil {
		fmt.Fprintf(stdout, "Keylime's signature of webhooks is by a key of its own, revocation-keylime.key, which is the same as before;\nif that is stolen, too, remove it before you restart the verifier, and give revocation-keylime.pub to those who check it.\n")
	}
	if r.Dropped > 0 {
		fmt.Fprintf(stdout, "Machines that have taken none of the last changes of the key, more than are kept, have to join again.\n")
	}
	return nil
}
