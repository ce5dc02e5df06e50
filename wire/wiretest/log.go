package wiretest

import (
	"strings"
	"sync"
)

// Log is the text of a log that a test reads while it is written. The zero value
// is empty.
type Log struct {
	mu sync.Mutex
	b  strings.Builder
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns what was written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Count returns how often part was written so far.
func (l *Log) Count(part string) int { return strings.Count(l.String(), part) }
