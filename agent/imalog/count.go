package imalog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// counter reads how many entries a list has from runtime_measurements_count
// beside it. The descriptor is kept open, which makes a read twenty times cheaper.
// Log and Watcher have one each.
type counter struct {
	path string
	file *os.File
}

func newCounter(list string) *counter {
	return &counter{path: filepath.Join(filepath.Dir(list), "runtime_measurements_count")}
}

// read returns the count: 0 if the kernel has none, for it has no IMA.
func (c *counter) read() (uint64, error) {
	if c.file == nil {
		f, err := openIfExists(c.path)
		if f == nil || err != nil {
			return 0, err
		}
		c.file = f
	}
	var digits [24]byte // 2⁶⁴ has twenty
	n, err := c.file.ReadAt(digits[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("read the number of measurements: %w", err)
	}
	count, err := parseCount(digits[:n])
	if err != nil {
		return 0, fmt.Errorf("%s: %w", c.path, err)
	}
	return count, nil
}

// parseCount reads decimal digits and the line feed that ends them (kernel:
// security/integrity/ima/ima_fs.c, ima_show_htable_value); without it they could
// be the beginning of a larger number.
func parseCount(b []byte) (uint64, error) {
	digits, ok := bytes.CutSuffix(b, []byte("\n"))
	if !ok {
		return 0, fmt.Errorf("%q is not a line", b)
	}
	return strconv.ParseUint(string(digits), 10, 64)
}

func (c *counter) close() error {
	if c.file == nil {
		return nil
	}
	return c.file.Close()
}
