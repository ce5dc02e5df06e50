package store

import (
	"time"

	"quicklime/wire"
)

const (
	// maxBlockEntries bounds the entries of a block, and with it what one write
	// adds, so that a machine's first list does not keep others waiting: some
	// 20 ms.
	maxBlockEntries = 2000

	// maxBlockData bounds the template data of a block, but for that of one
	// entry, which may have more: twice what maxBlockEntries of files take.
	maxBlockData = 512 << 10 // bytes

	// maxBlockKinds bounds the template names of a block, those of violations
	// apart: a byte says which. Kernels write a few; who invents more only has
	// smaller blocks.
	maxBlockKinds = 255

	// maxBlock bounds a block that is unpacked: the data, a byte and a length for
	// each entry, and the names.
	maxBlock = maxBlockData + 64<<10 + 4*maxBlockEntries + maxBlockKinds*(2+255) + 16 // bytes

	// maxChunk bounds the entries of a list that are packed together: fewer cost
	// more space, and a search unpacks those around what it looks for.
	maxChunk = 4096

	// maxFolded bounds the new entries of an evidence that are stored with its
	// verdict, in one commit: what a running machine measures between two
	// evidences. More are stored before, by a commit for each block.
	maxFolded = 64

	// maxKnown bounds the entries that are known in memory, some 48 bytes each in
	// all: the files of a few distributions and what is particular to some
	// hundred machines. What has been forgotten, the index finds.
	maxKnown = 1 << 20

	// maxCached bounds the unpacked blocks in memory: some 400,000 entries, the
	// files of a few distributions.
	maxCached = 64 << 20 // bytes

	// batchEntries is how many entries a visitor is shown at a time: enough to
	// make the call cheap, few enough to stay in a core's cache.
	batchEntries = 64

	// maxPastLists and maxPastAge bound the lists of past epochs that are kept for
	// the search: the last boots, for as long as an incident usually takes to
	// be noticed and looked into. Each takes as much as the list in force, some 85 kB
	// for 100,000 entries.
	maxPastLists = 4
	maxPastAge   = 30 * 24 * time.Hour

	// maxCandidates bounds the entries that one search looks at: a path may have
	// been measured with any number of digests.
	maxCandidates = 1000

	// partSize is the length of a stored part of a payload's ciphertext: as much as
	// is sent at a time, so that one row is read for it.
	partSize = wire.MaxChunk // bytes

	// maxAgentPayloads and maxAllPayloads bound the ciphertexts of one agent and of
	// all: a few that are as long as they may be, and what a small disk has room for.
	maxAgentPayloads = 4 * wire.MaxSealedPayload // bytes
	maxAllPayloads   = 16 << 30                  // bytes

	// listedPayloads is how many payloads of all agents are listed before one agent is
	// the last of an answer: with receipts some 10 MB, and mostly less than 1 MB.
	listedPayloads = 500

	// maxWithdrawn and maxWithdrawnAge bound the records of an agent's withdrawn payloads:
	// what an operator looks back at, and longer than a machine that holds one is away and
	// has not rebooted.
	maxWithdrawn    = 64
	maxWithdrawnAge = 30 * 24 * time.Hour

	// garbageEvery is the pause between two collections of garbage, each of which
	// reads all sequences, some milliseconds a list.
	garbageEvery = time.Hour

	// garbageAge is how old a block is before anything of it is collected or it is
	// merged: its entries are about to be referred to when it is written.
	garbageAge = time.Hour

	// maxEvents and maxEventAge bound the events that are kept, some 500 bytes each:
	// what an operator looks back at, and what an agent that was away may have missed.
	maxEvents   = 100_000
	maxEventAge = 30 * 24 * time.Hour

	// sweepEvery is how long after its time a lapse of trust is noticed, and so how
	// long its event may be late.
	sweepEvery = time.Second
)
