package payload

import (
	"time"

	"quicklime/wire"
)

const (
	// maxEvents bounds what waits to be done: parts come one at a time, and beside
	// them verdicts, while an archive is unpacked.
	maxEvents = 256

	// firstChunk is how much ciphertext is asked for at first: half a second on a
	// line of 1 Mbit/s.
	firstChunk = 64 << 10 // bytes

	// leastChunk is how little is asked for on a slow line: a few packets.
	leastChunk = 4 << 10 // bytes

	// swift and slow are when more or less is asked for the next time: evidence and
	// challenges wait behind a part that is on its way.
	swift = 100 * time.Millisecond
	slow  = 500 * time.Millisecond

	// askAgain is how long an answer to Ask is waited for: a challenge comes within
	// seconds, and evidence that is not accepted gets none.
	askAgain = 15 * time.Second

	// maxResult bounds a file with what became of a program: its output in base64.
	maxResult = 64 << 10 // bytes

	// resultsEvery is how often results are looked for, where programs may be run.
	resultsEvery = time.Second

	// Linger is how long run-payload waits for another program to be run before it ends:
	// payloads come one after the other, and systemd starts a unit only so often in ten
	// seconds before it gives up.
	Linger = time.Second

	// maxGone bounds the receipts of what was withdrawn that are kept: all payloads, a few
	// times, while the machine cannot reach its verifier.
	maxGone = 4 * wire.MaxPayloads

	// maxNames bounds the names whose version is remembered.
	maxNames = 1 << 10
)
