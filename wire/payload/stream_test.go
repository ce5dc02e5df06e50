package payload_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"

	"quicklime/wire/payload"
)

const segment = 64 << 10

func plaintext(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func sealed(t testing.TB, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := payload.Seal(&b, bytes.NewReader(plain), keys(t))
	if err != nil || n != uint64(len(plain)) || payload.SealedSize(n) != uint64(b.Len()) {
		t.Fatalf("sealed %d of %d bytes into %d, %v", n, len(plain), b.Len(), err)
	}
	return b.Bytes()
}

func open(b []byte, size int, k payload.Keys) ([]byte, error) {
	var plain bytes.Buffer
	err := payload.Open(&plain, bytes.NewReader(b), uint64(size), k)
	return plain.Bytes(), err
}

func TestSealAndOpen(t *testing.T) {
	for _, n := range []int{0, 1, segment - 1, segment, segment + 1, 3 * segment, 3*segment + 5} {
		plain := plaintext(n)
		got, err := open(sealed(t, plain), n, keys(t))
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: %d came back, %v", n, len(got), err)
		}
	}
	var b bytes.Buffer
	if _, err := payload.Seal(&b, iotest.OneByteReader(bytes.NewReader(plaintext(segment+3))), keys(t)); err != nil || !bytes.Equal(b.Bytes(), sealed(t, plaintext(segment+3))) {
		t.Errorf("a byte at a time it is another ciphertext, %v", err)
	}
	if _, err := payload.Seal(io.Discard, iotest.ErrReader(io.ErrNoProgress), keys(t)); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("the error of the reader is lost: %v", err)
	}
}

func TestI27_OpenRefuses(t *testing.T) {
	n := 2*segment + 100
	whole := sealed(t, plaintext(n))
	const step = segment + 16
	first, second, third := whole[:step], whole[step:2*step], whole[2*step:]
	other, err := payload.Derive(u, v, agentID, "db-password", 8)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		b    []byte
		size int
		keys payload.Keys
	}{
		"another key":           {whole, n, other},
		"segments exchanged":    {slices.Concat(second, first, third), n, keys(t)},
		"a segment twice":       {slices.Concat(first, first, third), n, keys(t)},
		"a segment left out":    {slices.Concat(first, third), segment + 100, keys(t)},
		"cut after a segment":   {whole[:2*step], 2 * segment, keys(t)},
		"cut, the size kept":    {whole[:2*step], n, keys(t)},
		"a byte short":          {whole[:len(whole)-1], n, keys(t)},
		"a byte more":           {append(slices.Clone(whole), 0), n, keys(t)},
		"last as if more came":  {slices.Concat(first, sealed(t, plaintext(n))[step:2*step]), 2 * segment, keys(t)},
		"nothing":               {nil, n, keys(t)},
		"empty, nothing sealed": {nil, 0, keys(t)},
		"over the limit":        {whole, payload.MaxSize + 1, keys(t)},
	} {
		if _, err := open(c.b, c.size, c.keys); !errors.Is(err, payload.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestI27_EveryCutAndEveryOtherByteOfACiphertextFails(t *testing.T) {
	plain := plaintext(300)
	b := sealed(t, plain)
	for cut := range b {
		if _, err := open(b[:cut], len(plain), keys(t)); !errors.Is(err, payload.ErrInvalid) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
	for i := range b {
		c := slices.Clone(b)
		c[i] ^= 1
		if _, err := open(c, len(plain), keys(t)); !errors.Is(err, payload.ErrInvalid) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
}

// endless is a reader without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestI04_SealBoundsThePlaintext(t *testing.T) {
	if n, err := payload.Seal(io.Discard, endless{}, keys(t)); !errors.Is(err, payload.ErrInvalid) || n > payload.MaxSize+segment {
		t.Errorf("%d bytes, %v", n, err)
	}
	if n, err := payload.Seal(io.Discard, io.LimitReader(endless{}, payload.MaxSize), keys(t)); err != nil || payload.SealedSize(n) != payload.MaxSealed {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(sealed(f, plaintext(100)), uint64(100))
	f.Add([]byte{}, uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, size uint64) {
		plain, err := open(b, int(size%(1<<20)), keys(t))
		if err == nil && !bytes.Equal(sealed(t, plain), b) {
			t.Error("opened what was not sealed")
		}
	})
}

func BenchmarkStream(b *testing.B) {
	for _, n := range []int{1 << 20, payload.MaxSize} {
		plain := plaintext(n)
		c := sealed(b, plain)
		b.Run(fmt.Sprintf("seal/%d", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				if _, err := payload.Seal(io.Discard, bytes.NewReader(plain), keys(b)); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("open/%d", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				if err := payload.Open(io.Discard, bytes.NewReader(c), uint64(n), keys(b)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
