package tpmdev

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"
)

// SocketPrefix begins the name of a device that is a socket.
const SocketPrefix = "unix:"

// errRawDevice refuses /dev/tpm0: what a killed agent left loaded there would
// stay, and nothing may flush it, for it may be somebody else's.
var errRawDevice = errors.New("the device has no resource manager: use /dev/tpmrm0")

func dial(device string) (transport.TPMCloser, error) {
	if path, ok := strings.CutPrefix(device, SocketPrefix); ok {
		return Socket(path), nil
	}
	if raw, _ := filepath.Match("/dev/tpm[0-9]*", device); raw {
		return nil, errRawDevice
	}
	return linuxtpm.Open(device)
}

// Socket is a TPM behind a socket, by its path. It is connected for the length
// of a command, because swtpm serves one client at a time and the agent is not
// the only one. (go-tpm's linuxudstpm has no deadline, gives up when the queue is
// full, and takes what one read returns for the response.)
type Socket string

// Send sends one command and returns its response.
func (s Socket) Send(command []byte) ([]byte, error) {
	deadline := time.Now().Add(CommandTimeout)
	c, err := persist(deadline, func() (net.Conn, error) {
		return net.DialUnix("unix", nil, &net.UnixAddr{Name: string(s), Net: "unix"})
	})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return exchange(c, command, deadline)
}

// persist dials until there is room in the server's queue.
func persist(deadline time.Time, dial func() (net.Conn, error)) (net.Conn, error) {
	for {
		c, err := dial()
		if err == nil || !errors.Is(err, syscall.EAGAIN) || time.Now().After(deadline) {
			return c, err
		}
		time.Sleep(DialPause)
	}
}

// exchange writes a command and reads its response.
func exchange(c net.Conn, command []byte, deadline time.Time) ([]byte, error) {
	if err := c.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if _, err := c.Write(command); err != nil {
		return nil, err
	}
	return readResponse(c)
}

// Close implements transport.TPMCloser; there is nothing to close.
func (Socket) Close() error { return nil }

// headerSize is the length of a response's header: tag u16 | size u32, header
// included | code u32 (TPM 2.0 Library part 1, section 18).
const headerSize = 10

// readResponse reads one whole response, as long as its header says.
func readResponse(r io.Reader) ([]byte, error) {
	b, err := readExactly(r, nil, headerSize)
	if err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(b[2:])
	if size < headerSize || size > MaxResponse {
		return nil, fmt.Errorf("a response of %d bytes: what answers is no TPM", size)
	}
	return readExactly(r, b, int(size)-headerSize)
}

// readExactly appends n bytes to b.
func readExactly(r io.Reader, b []byte, n int) ([]byte, error) {
	more, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err == nil && len(more) < n {
		err = io.ErrUnexpectedEOF
	}
	return append(b, more...), err
}
