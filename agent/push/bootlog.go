package push

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"quicklime/wire"
)

// readBootLog reads the firmware's event log. A machine without one, such as a
// virtual one whose firmware does not measure, has an empty log. A log longer
// than wire.MaxBootLog is an error.
func readBootLog(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("boot log: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, wire.MaxBootLog+1))
	if err != nil {
		return nil, fmt.Errorf("boot log: %w", err)
	}
	if len(b) > wire.MaxBootLog {
		return nil, fmt.Errorf("boot log %s: more than %d bytes", path, wire.MaxBootLog)
	}
	return b, nil
}
