package rest

import "testing"

func TestKeysHash(t *testing.T) {
	// printf 'aktransport' | sha256sum
	if got, want := KeysHash([]byte("ak"), []byte("transport")), "7bae8e7cbf6d5f3604656ee31cb3da14ae9bba0c0e8e0347fc00aa5309cd2913"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
