package tpmdev

import "time"

const (
	// CommandTimeout bounds one command on a socket, waiting for other clients
	// included: swtpm serves one at a time, and making an RSA key takes seconds
	// where the processor is emulated. The kernel bounds commands to /dev/tpmrm0
	// by itself.
	CommandTimeout = 60 * time.Second

	// DialPause is how long to wait before asking again for a connection that
	// swtpm's queue, one place long, had no room for.
	DialPause = time.Millisecond

	// MaxResponse bounds a response: the largest that a PC Client TPM may send
	// (TCG PC Client Platform TPM Profile 1.05, TPM_PT_MAX_RESPONSE_SIZE).
	MaxResponse = 4096 // bytes

	// NVChunk is how much of an NV index is read at once: the least that every TPM
	// allows (TPM_PT_NV_BUFFER_MAX).
	NVChunk = 512 // bytes

	// flushBatch is how many handles are asked for at once.
	flushBatch = 64
)
