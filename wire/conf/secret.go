package conf

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// ReadSecret reads a file that holds a secret or a private key, of at most max
// bytes. It refuses one that is not a regular file and one that its group or
// others may read, write or execute (I05): whoever could read it yesterday has
// the secret today.
func ReadSecret(path string, max int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO must not make us wait
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s holds a secret and is not a regular file", path)
	}
	if perm := st.Mode().Perm(); perm&0o077 != 0 {
		return nil, fmt.Errorf("%s holds a secret and has mode %04o, so that others may use it; replace the secret if they could have, and run: chmod 600 %[1]s", path, perm)
	}
	return readAll(f, path, max)
}

// readAll reads f, of at most max bytes.
func readAll(f io.Reader, path string, max int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > max {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, max)
	}
	return b, nil
}
