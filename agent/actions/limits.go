package actions

import "time"

const (
	// maxOutput bounds what is kept of an action's output, the end of it: what a
	// log takes as a line.
	maxOutput = 8 << 10 // bytes

	// maxOutcomes bounds the file outcomes, of which one that is full is kept beside.
	maxOutcomes = 1 << 20 // bytes

	// Linger is how long run-actions waits for another notice before it ends: where many
	// machines fall they come one after the other, and systemd starts a unit only so often
	// in ten seconds before it gives up.
	Linger = time.Second

	// killDelay is how long an action that is killed may keep its output open, by a
	// process of its that was missed.
	killDelay = 2 * time.Second
)
