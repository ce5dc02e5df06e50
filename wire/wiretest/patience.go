package wiretest

import (
	"os"
	"time"
)

// Patience bounds every wait for what must come: a machine with much else to do, and
// the race detector, may need most of it. What a mutant (.ci/mutants) keeps from coming
// is not waited for as long.
var Patience = func() time.Duration {
	if n := os.Getenv("MUTANT"); n != "" && n != "0" {
		return 10 * time.Second
	}
	return time.Minute
}()
