package revocation

import (
	"math/rand/v2"
	"time"
)

const (
	// MaxWebhooks bounds the webhooks: each has a worker and a row for every event.
	MaxWebhooks = 16

	// tryTimeout bounds one delivery from the name's look-up to the end of the answer.
	tryTimeout = 10 * time.Second

	// claimTime is how long a delivery belongs to whoever took it: longer than a try,
	// its start and its end on a busy machine take.
	claimTime = 3 * tryTimeout

	// maxAnswer bounds what of a receiver's answer is read: its status is all that
	// counts, and a connection is used again only if the answer was read.
	maxAnswer = 16 << 10 // bytes

	// maxAnswerHeader bounds its header.
	maxAnswerHeader = 16 << 10 // bytes

	// maxTries bounds the tries of one delivery: a day of the longest pauses, and an
	// hour of the shorter ones before.
	maxTries = 160

	// firstPause and lastPause bound the pause after a try that failed: short after
	// the first, for a receiver that is restarted, and no load on one that is gone.
	firstPause = time.Second
	lastPause  = 10 * time.Minute

	// MaxMissed bounds the notices that an agent is given which was away, some 400
	// bytes each. Of older ones it learns how many there were.
	MaxMissed = 1000

	// maxSigned bounds the signed notices in memory: what agents that come back ask for.
	maxSigned = MaxMissed

	// lifetime is how long a notice is valid from its signature. It is signed anew for
	// who comes later, so this only bounds how long one can be held back.
	lifetime = time.Hour

	// maxSuccessions bounds the keys that the revocation key had before: a machine that
	// pins an older one has to join again. They are sent to each agent that has not
	// taken them, some 250 bytes each.
	maxSuccessions = 64

	// pollEvery is how soon a worker sees what another process recorded.
	pollEvery = time.Second

	// maxProblem bounds the error of a try as it is kept.
	maxProblem = 500 // bytes

	// maxLogged bounds the events that are read at a time to be logged.
	maxLogged = 1000
)

// pauseAfter is the pause after so many tries before the one that failed. Its upper
// half is random, so that what failed together is not tried together for ever.
func pauseAfter(tries int) time.Duration {
	d := lastPause
	if tries < 10 {
		d = min(firstPause<<tries, lastPause)
	}
	return d/2 + rand.N(d/2)
}
