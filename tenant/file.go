package tenant

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
)

// readFile reads a file, or standard input if it is "-", of at most max bytes.
func (p *program) readFile(file string, max int64) ([]byte, error) {
	if file == "-" {
		return readAll(p.stdin, "standard input", max)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, file, max)
}

func readAll(r io.Reader, from string, max int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, max+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	if int64(len(b)) > max {
		return nil, fmt.Errorf("%s has more than %d bytes", from, max)
	}
	return b, nil
}

// gunzip returns what b holds if it is in gzip form (RFC 1952), which no
// measurement list begins like, else b itself.
func gunzip(b []byte, from string, max int64) ([]byte, error) {
	if !bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		return b, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	return readAll(z, from, max)
}
