package push

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"quicklime/wire/wiretest"
)

// Whoever looks at the log of a machine that nobody enrolled finds what to do,
// soon after it started and however late he comes.
func TestAMachineThatIsNotEnrolledSaysSo(t *testing.T) {
	const line = `level=WARN msg="the verifier is silent: this machine is probably not enrolled yet"`
	const command = `enrol="quicklime-tenant agent add 0123456789ab"`
	for wait, want := range map[time.Duration]int{
		welcomePatience - 1:                     0,
		welcomePatience + time.Second:           1,
		welcomePatience + welcomeReminder - 1:   1,
		welcomePatience + 2*welcomeReminder + 1: 3,
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			defer cancel()
			var l wiretest.Log
			s := session{cfg: Config{AgentID: "0123456789ab" + strings.Repeat("c", 52), Log: slog.New(slog.NewTextHandler(&l, nil))}}
			if err := s.awaitWelcome(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			if l.Count(line) != want || l.Count(command) != want {
				t.Errorf("after %v the log says, and should %d times:\n%s", wait, want, l.String())
			}
		})
	}
}
