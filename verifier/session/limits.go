package session

import (
	"time"

	"quicklime/wire"
)

const (
	// MaxStrangers bounds the connections of keys that are not enrolled: agents
	// that are registered wait on one for their enrolment, so that it takes effect
	// at once. A rack's worth behind one address, and four of them; the others come
	// again by themselves.
	MaxStrangers = 256

	// maxSessions bounds the sessions that one machine begins a minute: an agent on a
	// bad line comes again every few seconds.
	maxSessions = 60

	// waitsShown is how many agents that begin to wait are logged a minute: a rack's
	// worth, and no log is filled by strangers.
	waitsShown = 60

	// missesShown is how many times agents that miss notices are logged a minute, for
	// it is their word: none of them fills a log.
	missesShown = 60

	// refusedPause is how long nothing is sent after an agent refused a notice for a
	// reason that may pass, such as its clock: soon after somebody set that right, and
	// no load, however many it lets be sent again.
	refusedPause = time.Minute

	// maxParkedTime ends the wait of a parked agent: it comes again, and one
	// that was refused for want of room may come in its place.
	maxParkedTime = 10 * time.Minute

	// startTimeout bounds the wait for the first evidence of a session: the
	// first read of a list of 100,000 entries takes a kernel 25 seconds, since
	// each of its answers walks the list from the start.
	startTimeout = 2 * time.Minute

	// maxLists bounds the lists that are held at one time while they are judged,
	// in bytes as announced, in each part of the room; a session holds two or three
	// times that, and seven times of a list of the smallest entries. Others wait
	// their turn, with their bytes still at the agent: a fleet that reboots at
	// once is judged in waves.
	maxLists = 128 << 20 // bytes

	// dawdling is how long a large list may take to arrive, or its connection to
	// break, without being remembered: 64 MiB at 50 Mbit/s.
	dawdling = 10 * time.Second

	// smallList divides the two: some ten thousand entries.
	smallList = 1 << 20 // bytes

	// askGap is the least gap between two challenges that an agent brings about by
	// asking for payloads: each costs both ends a quote.
	askGap = time.Second

	// glance is how long a message that has come is waited for before the answer to a
	// challenge counts as missing: a scheduler's turn, on a busy host.
	glance = 10 * time.Millisecond

	// maxReceipts bounds what an agent says anew of its payloads in a minute: of every one,
	// a few times, that it is stored and what its program did.
	maxReceipts = 8 * wire.MaxPayloads

	// maxReferences bounds the boot policies that are kept compiled: each group of
	// machines has one, of some hundred KiB.
	maxReferences = 64

	// maxTries bounds how often evidence is computed anew because the state
	// moved, and how often in a row newer evidence may overtake that of a session:
	// policy changes, clearing and a second session are rare beside it.
	maxTries = 8
)

// Timing is what bounds how long a machine can look better than it is.
type Timing struct {
	Challenge time.Duration // C: the longest gap between two challenges
	Answer    time.Duration // D: how long an agent may take to answer one
	Margin    time.Duration // for the way through network and disk
	Renew     time.Duration // about how long a session lasts; 0: as long as its connection
}

// DefaultTiming makes the bound 40 seconds. A handshake an hour proves again that
// the TPM has the transport key, which TPM2_Clear takes: a quote does not show one
// whose counters were walked back. It costs both ends a millisecond.
var DefaultTiming = Timing{Challenge: 30 * time.Second, Answer: 5 * time.Second, Margin: 5 * time.Second, Renew: time.Hour}

// Trust is how long evidence makes an agent trusted, from the issue of its
// nonce: T = C + D + margin.
func (t Timing) Trust() time.Duration { return t.Challenge + t.Answer + t.Margin }
