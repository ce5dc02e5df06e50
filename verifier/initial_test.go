package verifier_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"testing"

	"quicklime/wire"
)

// sourceID is the connection id of every client; the ClientHello repeats it.
var sourceID = []byte("flooding")

// clientHello is one for the verifier (RFC 8446, section 4.1.2).
func clientHello(t *testing.T) []byte {
	t.Helper()
	c := tls.QUICClient(&tls.QUICConfig{TLSConfig: &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{wire.ALPNAttest}, ServerName: "verifier.test",
		CurvePreferences: []tls.CurveID{tls.X25519}, // so that it fits into one packet
	}})
	defer c.Close()
	// initial_source_connection_id (RFC 9000, section 18.2)
	c.SetTransportParameters(append([]byte{0x0f, byte(len(sourceID))}, sourceID...))
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for e := c.NextEvent(); e.Kind != tls.QUICNoEvent; e = c.NextEvent() {
		if e.Kind == tls.QUICWriteData {
			return bytes.Clone(e.Data)
		}
	}
	t.Fatal("no ClientHello")
	return nil
}

// parseRetry reads a Retry packet (RFC 9000, section 17.2.5): flags u8 | version
// u32 | destination id u8 + bytes | source id u8 + bytes | token | tag 16.
func parseRetry(b []byte) (id, token []byte, err error) {
	at := 5
	for range 2 {
		if len(b) < at+1 || len(b) < at+1+int(b[at])+16 {
			return nil, nil, errors.New("a Retry that is cut")
		}
		id = b[at+1 : at+1+int(b[at])]
		at += 1 + int(b[at])
	}
	return id, b[at : len(b)-16], nil
}

// initial makes a client's first packet (RFC 9000, section 17.2.2; RFC 9001,
// section 5), with a ClientHello in a CRYPTO frame.
func initial(hello, id, token []byte) ([]byte, error) {
	const size, tag = 1200, 16
	varint := func(n int) []byte { return binary.BigEndian.AppendUint16(nil, 0x4000|uint16(n)) }
	header := []byte{0xc3, 0, 0, 0, 1} // long, Initial, a packet number of four bytes; version 1
	header = append(append(header, byte(len(id))), id...)
	header = append(append(header, byte(len(sourceID))), sourceID...)
	header = append(append(header, varint(len(token))...), token...)
	header = append(header, varint(size-len(header)-2)...)
	number := len(header)
	header = append(header, 0, 0, 0, 0)
	payload := append(append([]byte{6, 0}, varint(len(hello))...), hello...)
	if len(header)+len(payload)+tag > size {
		return nil, errors.New("the ClientHello is too long")
	}
	payload = append(payload, make([]byte, size-tag-len(header)-len(payload))...)

	secret, err := hkdf.Extract(sha256.New, id, initialSalt)
	if err != nil {
		return nil, err
	}
	secret = expand(secret, "client in", 32)
	aead, err := cipher.NewGCM(block(expand(secret, "quic key", 16)))
	if err != nil {
		return nil, err
	}
	packet := aead.Seal(header, expand(secret, "quic iv", 12), payload, header) // packet number 0
	mask := make([]byte, 16)
	block(expand(secret, "quic hp", 16)).Encrypt(mask, packet[number+4:number+20])
	packet[0] ^= mask[0] & 0xf
	for i := range 4 {
		packet[number+i] ^= mask[1+i]
	}
	return packet, nil
}

// initialSalt is that of QUIC version 1 (RFC 9001, section 5.2).
var initialSalt = []byte{0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a}

// expand is HKDF-Expand-Label (RFC 8446, section 7.1) with an empty context.
func expand(secret []byte, label string, n int) []byte {
	info := append([]byte{0, byte(n), byte(6 + len(label))}, "tls13 "+label+"\x00"...)
	b, err := hkdf.Expand(sha256.New, secret, string(info), n)
	if err != nil {
		panic(err) // the sizes are constants
	}
	return b
}

func block(key []byte) cipher.Block {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the size is a constant
	}
	return b
}
