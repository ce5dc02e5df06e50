package pki

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"

	"quicklime/wire"
)

// roleURI begins the URI name that gives a client its role.
const roleURI = "urn:x-quicklime:role:"

// names are subject alternative names (RFC 5280, section 4.2.1.6), sorted.
type names struct {
	dns  []string
	ips  []net.IP
	uris []*url.URL
}

// hostNames sorts hosts into DNS names and IP addresses.
func hostNames(hosts []string) (n names, err error) {
	for _, h := range hosts {
		ip := net.ParseIP(h)
		switch {
		case ip != nil:
			n.ips = append(n.ips, ip)
		case wire.ValidHost(h):
			n.dns = append(n.dns, strings.ToLower(h))
		default:
			return names{}, fmt.Errorf("host %q is neither a DNS name nor an IP address", h)
		}
	}
	if len(hosts) == 0 {
		return names{}, fmt.Errorf("a server needs at least one host name or IP address")
	}
	slices.Sort(n.dns)
	n.dns = slices.Compact(n.dns)
	slices.SortFunc(n.ips, func(a, b net.IP) int { return strings.Compare(a.String(), b.String()) })
	n.ips = slices.CompactFunc(n.ips, net.IP.Equal)
	return n, nil
}

// LocalNames returns the names under which a host's own programs reach it, and
// others perhaps: its host name, unless that is no DNS name, and the loopback's.
func LocalNames() []string {
	local := []string{"localhost", "127.0.0.1", "::1"}
	host, err := os.Hostname()
	if err != nil || !wire.ValidHost(host) || host == "localhost" {
		return local
	}
	return append([]string{host}, local...)
}

// roleName is the URI name that says role.
func roleName(role string) (names, error) {
	if !wire.ValidName(role) {
		return names{}, fmt.Errorf("%q cannot name a role", role)
	}
	u, err := url.Parse(roleURI + role)
	return names{uris: []*url.URL{u}}, err
}

func namesOf(c *x509.Certificate) names { return names{c.DNSNames, c.IPAddresses, c.URIs} }

func (n names) equal(m names) bool {
	return slices.Equal(n.dns, m.dns) &&
		slices.EqualFunc(n.ips, m.ips, net.IP.Equal) &&
		slices.EqualFunc(n.uris, m.uris, func(a, b *url.URL) bool { return a.String() == b.String() })
}

// RoleOf returns the role in the certificate of a client, or "" unless it has
// exactly one. The certificate must have been verified.
func RoleOf(c *x509.Certificate) string {
	var roles []string
	for _, u := range c.URIs {
		if role, ok := strings.CutPrefix(u.String(), roleURI); ok {
			roles = append(roles, role)
		}
	}
	if len(roles) != 1 || !wire.ValidName(roles[0]) {
		return ""
	}
	return roles[0]
}
