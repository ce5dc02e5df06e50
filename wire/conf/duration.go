package conf

import (
	"fmt"
	"time"
)

// Duration is a length of time that a file writes as time.ParseDuration reads
// it: "5s", "1m30s". A bare number is refused, because it could mean anything,
// and so is a negative one.
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil || v < 0 {
		return fmt.Errorf("%q is no length of time; write it like \"5s\" or \"1m30s\"", b)
	}
	*d = Duration(v)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d Duration) String() string { return time.Duration(d).String() }
