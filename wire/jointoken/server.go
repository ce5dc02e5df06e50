package jointoken

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Server says where a daemon listens and which name its certificate must hold.
type Server struct {
	Address    string `cbor:"1,keyasint" json:"address"`     // host:port; an IPv6 host in brackets
	ServerName string `cbor:"2,keyasint" json:"server_name"` // DNS name or IP address
}

func (s Server) check() error {
	if !validAddress(s.Address) {
		return fmt.Errorf("address %q is not host:port", s.Address)
	}
	if !validHost(s.ServerName) {
		return fmt.Errorf("server name %q is neither a DNS name nor an IP address", s.ServerName)
	}
	return nil
}

// validAddress reports whether s is host:port with a port of 1 to 65535 in its
// shortest form.
func validAddress(s string) bool {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return false
	}
	host, port := s[:i], s[i+1:]
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return false
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		return ok && strings.Contains(inner, ":") && validIP(inner)
	}
	return !strings.Contains(host, ":") && validHost(host)
}

// validHost reports whether s is an IP address or a DNS name in the usual
// letters, digits and hyphens (RFC 1123, section 2.1), at most 253 bytes long.
func validHost(s string) bool {
	if validIP(s) {
		return true
	}
	if len(s) > maxHost {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !validLabel(label) {
			return false
		}
	}
	return true
}

// maxHost bounds a DNS name in text (RFC 1035, section 2.3.4).
const maxHost = 253 // bytes

// validIP reports whether s is an IP address. One with a zone is not: a zone
// means something on one machine only, and may hold any character.
func validIP(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Zone() == ""
}

func validLabel(s string) bool {
	if len(s) < 1 || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !alnum && c != '-' {
			return false
		}
	}
	return true
}
