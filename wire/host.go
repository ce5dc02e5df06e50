package wire

import "regexp"

var host = regexp.MustCompile(`^([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)*[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$`)

// ValidHost reports whether s is a host name (RFC 1123, section 2.1) of at most 253
// bytes: no wildcard, no final dot (I03).
func ValidHost(s string) bool { return len(s) <= 253 && host.MatchString(s) }
