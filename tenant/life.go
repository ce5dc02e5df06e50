package tenant

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A life is a flag's length of time: "90d" for days, or as time.ParseDuration reads
// it, "12h". Given says whether the flag was there.
type life struct {
	time.Duration
	given bool
}

// Set implements pflag.Value.
func (l *life) Set(s string) error {
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, atoi := strconv.ParseUint(days, 10, 16) // 179 years
		d, err = time.Duration(n)*24*time.Hour, atoi
	}
	if err != nil || d < time.Second {
		return fmt.Errorf("%q is no length of time: write it like 90d or 12h, a second at least", s)
	}
	l.Duration, l.given = d, true
	return nil
}

// String implements pflag.Value.
func (l *life) String() string {
	if days := l.Duration / (24 * time.Hour); l.Duration > 0 && l.Duration%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", days)
	}
	return l.Duration.String()
}

// Type implements pflag.Value.
func (l *life) Type() string { return "TIME" }
