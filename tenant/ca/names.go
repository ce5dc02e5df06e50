package ca

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"quicklime/wire"
)

// agentURI begins the URI name of an agent's certificate.
const agentURI = "urn:x-quicklime:agent:"

// Names are subject alternative names (RFC 5280, section 4.2.1.6).
type Names struct {
	DNS   []string `json:"dns,omitempty"`
	IP    []string `json:"ip,omitempty"`
	URI   []string `json:"uri,omitempty"`
	Agent string   `json:"agent,omitempty"` // an id
}

// NewNames holds names against their grammars. Host names are taken in lower case and
// addresses in their short form; each is in the outcome once.
func NewNames(dns, ips, uris []string, agent string) (Names, error) {
	n := Names{Agent: agent}
	for _, s := range dns {
		if !wire.ValidHost(s) {
			return Names{}, fmt.Errorf("%q is no DNS name: no wildcard and no final dot", s)
		}
		n.DNS = append(n.DNS, strings.ToLower(s))
	}
	for _, s := range ips {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return Names{}, fmt.Errorf("%q is no IP address", s)
		}
		n.IP = append(n.IP, a.Unmap().String())
	}
	for _, s := range uris {
		if err := checkURI(s); err != nil {
			return Names{}, err
		}
		n.URI = append(n.URI, s)
	}
	if agent != "" && !wire.ValidID(agent) {
		return Names{}, fmt.Errorf("%q is no agent id: 64 digits", agent)
	}
	for _, list := range []*[]string{&n.DNS, &n.IP, &n.URI} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	if c := len(n.DNS) + len(n.IP) + len(n.URI); c > maxNames {
		return Names{}, fmt.Errorf("a certificate has at most %d names, not %d", maxNames, c)
	}
	return n, nil
}

// checkURI takes what a certificate can hold, an absolute URI in ASCII, and nothing
// that speaks of an agent or of a role in this product: those are not for the asking.
func checkURI(s string) error {
	u, err := url.Parse(s)
	if err != nil || !u.IsAbs() || u.Host == "" && u.Opaque == "" || len(s) > maxURI || u.String() != s || !isASCII(s) {
		return fmt.Errorf("%q is no absolute URI of ASCII", s)
	}
	if strings.HasPrefix(strings.ToLower(s), "urn:x-quicklime:") {
		return fmt.Errorf("%q is reserved: an agent is named by its id", s)
	}
	return nil
}

func isASCII(s string) bool { return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 }) }

// put enters the names into a certificate to be signed.
func (n Names) put(t *x509.Certificate) error {
	t.DNSNames = n.DNS
	for _, s := range n.IP {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return err
		}
		t.IPAddresses = append(t.IPAddresses, a.AsSlice())
	}
	uris := n.URI
	if n.Agent != "" {
		uris = append(slices.Clone(uris), agentURI+n.Agent)
	}
	for _, s := range uris {
		u, err := url.Parse(s)
		if err != nil {
			return err
		}
		t.URIs = append(t.URIs, u)
	}
	return nil
}
