package tpmdev

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// response is what a TPM answers to TPM2_GetRandom(8).
var response = []byte{
	0x80, 0x01, 0, 0, 0, 20, 0, 0, 0, 0,
	0, 8, 1, 2, 3, 4, 5, 6, 7, 8,
}

func TestReadResponse(t *testing.T) {
	for name, r := range map[string]io.Reader{
		"at once":          bytes.NewReader(response),
		"byte by byte":     iotest.OneByteReader(bytes.NewReader(response)),
		"more than it has": bytes.NewReader(append(bytes.Clone(response), 9, 9)),
	} {
		got, err := readResponse(r)
		if err != nil || !bytes.Equal(got, response) {
			t.Errorf("%s: %x, error %v", name, got, err)
		}
	}
	for n := range response {
		if got, err := readResponse(bytes.NewReader(response[:n])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %x, error %v", n, got, err)
		}
	}
	for _, size := range []uint32{0, 9, MaxResponse + 1, 1 << 31} {
		b := bytes.Clone(response)
		binary.BigEndian.PutUint32(b[2:], size)
		if got, err := readResponse(io.MultiReader(bytes.NewReader(b), endless{})); err == nil {
			t.Errorf("size %d: a response of %d bytes", size, len(got))
		}
	}
}

// endless never stops sending.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func FuzzReadResponse(f *testing.F) {
	f.Add(response)
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := readResponse(bytes.NewReader(b))
		if err == nil && (!bytes.HasPrefix(b, got) || int(binary.BigEndian.Uint32(got[2:])) != len(got)) {
			t.Errorf("%x reads as %x", b, got)
		}
	})
}

// TestSilentServer has a server take the command and say nothing.
func TestSilentServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := exchange(c, response, time.Now()); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

// TestFullQueue has a server whose queue stays full.
func TestFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := &net.OpError{Op: "dial", Err: syscall.EAGAIN}
		asked := 0
		_, err := persist(time.Now().Add(time.Second), func() (net.Conn, error) { asked++; return nil, full })
		if !errors.Is(err, syscall.EAGAIN) || asked < int(time.Second/DialPause) {
			t.Errorf("asked %d times, error %v", asked, err)
		}
		refused := errors.New("refused")
		asked = 0
		if _, err = persist(time.Now().Add(time.Second), func() (net.Conn, error) { asked++; return nil, refused }); err != refused || asked != 1 {
			t.Errorf("asked %d times, error %v", asked, err)
		}
	})
}
