package wire_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"quicklime/wire"
)

func TestRegistrationVectors(t *testing.T) {
	exporter := bytes.Repeat([]byte{1}, 32)
	q := wire.RegisterQualifying(exporter, []byte("ek"), []byte("ak"), []byte("transport"))
	if want := "dcb9687077535cf6b7b46d78623f8e84e6004e69e9fdf484d59a91878e67563b"; hex.EncodeToString(q[:]) != want {
		t.Errorf("qualifying data is %x, want %s", q, want)
	}
	p := wire.RegisterProof(bytes.Repeat([]byte{2}, 32), []byte("register"), []byte("credential"), exporter)
	if want := "4457bf1feeffda5dfb99be0c933e82c01bff1d7b580760187e59c3ef1f987716"; hex.EncodeToString(p) != want {
		t.Errorf("proof is %x, want %s", p, want)
	}
}
