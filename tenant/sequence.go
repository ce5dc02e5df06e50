package tenant

import (
	"errors"
	"strconv"
)

// sequence is a flag's sequence number of an event; -1: it was not there.
type sequence int64

// Set implements pflag.Value.
func (s *sequence) Set(text string) error {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return errors.New("want the sequence number of an event, as events shows it, or 0 for all that are kept")
	}
	*s = sequence(n)
	return nil
}

// String implements pflag.Value.
func (s *sequence) String() string {
	if *s < 0 {
		return ""
	}
	return strconv.FormatInt(int64(*s), 10)
}

// Type implements pflag.Value.
func (s *sequence) Type() string { return "SEQUENCE" }
