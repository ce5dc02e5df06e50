package channel

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// Peer is the other end of a connection: the key it proved and where it is.
type Peer struct {
	SPKI [32]byte         // SHA-256 of the key's SubjectPublicKeyInfo, DER (RFC 5280, section 4.1)
	Key  crypto.PublicKey // of a client: an *ecdsa.PublicKey on P-256
	Addr netip.AddrPort   // when it connected; it may move
}

// clientPeer is the client that sent certs. A client is its key: nothing else of
// its certificate is looked at, and the key must be in the one encoding that it
// has (I01), or one key would have many hashes.
func clientPeer(certs []*x509.Certificate, addr net.Addr) (Peer, error) {
	if len(certs) != 1 {
		return Peer{}, fmt.Errorf("client sent %d certificates, want 1", len(certs))
	}
	key, ok := certs[0].PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return Peer{}, errors.New("client's key is not ECDSA on P-256")
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return Peer{}, fmt.Errorf("client's key: %w", err)
	}
	if !bytes.Equal(der, certs[0].RawSubjectPublicKeyInfo) {
		return Peer{}, errors.New("client's key is not in its canonical encoding")
	}
	return Peer{SPKI: sha256.Sum256(der), Key: key, Addr: addrPort(addr)}, nil
}

// serverPeer is the server whose chain certs is; its pin has been checked.
func serverPeer(certs []*x509.Certificate, addr net.Addr) Peer {
	leaf := certs[0]
	return Peer{SPKI: sha256.Sum256(leaf.RawSubjectPublicKeyInfo), Key: leaf.PublicKey, Addr: addrPort(addr)}
}

// addrPort is a UDP address with an IPv4 address as such; anything else is the
// zero value.
func addrPort(a net.Addr) netip.AddrPort {
	udp, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := udp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
