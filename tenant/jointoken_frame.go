package tenant

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"quicklime/wire/daemon"
	"quicklime/wire/jointoken"
)

// tokenFrame is a token without what the registrar contributes. It is sound: no
// secret is made for a token that cannot be written.
func (c Config) tokenFrame() (t jointoken.Token, err error) {
	if t.CAPin, err = pinOf(c.CA); err != nil {
		return t, err
	}
	if t.Registrar, err = c.registrarServer(); err != nil {
		return t, err
	}
	if t.Verifier, err = c.verifierServer(); err != nil {
		return t, err
	}
	if t.PayloadKey, err = c.payloadKey(); err != nil {
		return t, err
	}
	trial := t
	trial.ID, trial.Expires = strings.Repeat("0", 16), time.Unix(0, 0)
	_, err = trial.Format()
	return t, daemon.WithHint(err, "correct registrar_address, verifier_address and the server names in tenant.toml")
}

// pinOf returns the SHA-256 of the SubjectPublicKeyInfo of a CA certificate in
// PEM form.
func pinOf(file string) (pin [32]byte, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return pin, err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" {
		return pin, fmt.Errorf("%s holds no certificate", file)
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return pin, fmt.Errorf("%s: %w", file, err)
	}
	return sha256.Sum256(ca.RawSubjectPublicKeyInfo), nil
}

// registrarServer is the registrar as agents reach it.
func (c Config) registrarServer() (jointoken.Server, error) {
	return server("registrar", c.RegistrarURL, c.RegistrarAddress, c.RegistrarServerName)
}

// verifierServer is the verifier as agents reach it.
func (c Config) verifierServer() (jointoken.Server, error) {
	return server("verifier", c.VerifierURL, c.VerifierAddress, c.VerifierServerName)
}

// server fills what the configuration leaves out from the URL, then from the
// address.
func server(which, base, address, serverName string) (jointoken.Server, error) {
	if address == "" {
		u, err := url.Parse(base)
		if err != nil {
			return jointoken.Server{}, err
		}
		address = u.Host
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return jointoken.Server{}, daemon.WithHint(fmt.Errorf("%s address for agents: %w", which, err),
			"set %s_address to host:port in tenant.toml", which)
	}
	if serverName == "" {
		serverName = host
	}
	return jointoken.Server{Address: address, ServerName: serverName}, nil
}

// warnLoopback tells of addresses that mean another machine to every machine.
func (p *program) warnLoopback(t jointoken.Token) {
	for _, s := range []struct{ option, address string }{
		{"registrar_address", t.Registrar.Address},
		{"verifier_address", t.Verifier.Address},
	} {
		if isLoopback(s.address) {
			p.warn("only agents on this machine reach %s; set %s in tenant.toml for others", s.address, s.option)
		}
	}
}

// isLoopback reports whether host:port is this machine whoever asks.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
