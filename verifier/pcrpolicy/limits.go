package pcrpolicy

const (
	// MaxText bounds the text: each PCR of the TPM with MaxValues values would need
	// more, and nobody lists that many.
	MaxText = 32 << 10 // bytes

	// MaxValues bounds the values of one PCR: those of a fleet's hardware, in each
	// bank.
	MaxValues = 64

	// maxShown bounds what a message quotes of the text.
	maxShown = 80 // bytes
)
