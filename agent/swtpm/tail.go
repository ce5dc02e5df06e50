package swtpm

import (
	"bytes"
	"strings"
)

// maxTail bounds what is kept of what swtpm prints: its last words say why it
// ended, and it prints a line for every command it is sent.
const maxTail = 2 << 10 // bytes

// tail keeps the end of what is written to it.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if extra := len(t.kept) - maxTail; extra > 0 {
		t.kept = bytes.Clone(t.kept[extra:])
	}
	return len(p), nil
}

// String returns what was kept, without the line that every command leaves.
func (t *tail) String() string {
	s := strings.ReplaceAll(string(t.kept), "swtpm: Data client disconnected\n", "")
	return strings.TrimSpace(s)
}
