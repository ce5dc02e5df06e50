package push

import "time"

const (
	// firstPause and lastPause bound the wait before the next session: short
	// enough after a verifier's restart to lose no heartbeat, long enough that a
	// fleet does not crowd a verifier that is down.
	firstPause = 250 * time.Millisecond
	lastPause  = 30 * time.Second

	// displacedPause is the least wait after another session of this identity
	// took over, so that two machines with one TPM state do not fight over it.
	displacedPause = 5 * time.Second

	// welcomePatience is how long a verifier may be silent after Hello before the
	// log says what is probably the matter: it holds whom it does not know yet.
	welcomePatience = 2 * time.Second

	// welcomeReminder is how often it says so again: often enough for whoever
	// looks at the log of a new machine, seldom enough to fill none.
	welcomeReminder = 5 * time.Minute

	// verdictTimeout bounds the wait for a verdict: a minute for the longest list
	// to arrive, as long to judge it.
	verdictTimeout = 2 * time.Minute

	// maxIncoming bounds the messages that wait while evidence is being sent: a challenge,
	// offers, and a share of each payload.
	maxIncoming = 64

	// maxParts bounds the parts of payloads among them, which are the largest: one is
	// asked for at a time, and perhaps again when what is offered changes.
	maxParts = 2

	// maxNotices bounds the notices that wait to be taken: all that the verifier has
	// for a machine that was away, some 400 bytes each.
	maxNotices = 1000

	// firstRequote and lastRequote bound the pauses after which entries that
	// were appended and not extended yet are quoted again. A software TPM extends
	// within a millisecond, others within some.
	firstRequote = time.Millisecond
	lastRequote  = time.Second

	// maxRequotes bounds how often that is done in vain, some three seconds in
	// all: entries whose extend failed are never certified.
	maxRequotes = 12

	// maxQuotes bounds the quotes for one evidence of a list that does not
	// replay: each needs PCRs that stay as they are between quote and read.
	maxQuotes = 8

	// lockTries and lockPause bound the wait for the lock of systemd's log, two seconds in
	// all: a slow TPM takes one to extend a PCR.
	lockTries = 100
	lockPause = 20 * time.Millisecond

	// maxResends bounds how often evidence is sent again in a row because the
	// verdict asks for something else. From the resume point, from the start and
	// with the boot log are three.
	maxResends = 4
)
