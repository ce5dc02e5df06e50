package severity

const (
	// MaxLabels bounds the labels: failures are kept of each. Keylime has seven,
	// syslog eight.
	MaxLabels = 16

	// MaxLabel bounds a label, which stands in tables.
	MaxLabel = 32 // bytes

	// MaxRules bounds the rules, which are tried one by one for a failure.
	MaxRules = 256

	// MaxExpression bounds the text of one rule's expression: an id has some 60
	// bytes.
	MaxExpression = 1 << 10 // bytes
)
