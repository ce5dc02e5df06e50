package push

import (
	"testing"
	"time"
)

func TestRequotesEnd(t *testing.T) {
	var r requotes
	var sum time.Duration
	for range maxRequotes {
		d, ok := r.next()
		if !ok || d < firstRequote || d > lastRequote {
			t.Fatalf("pause %v, %v", d, ok)
		}
		sum += d
	}
	if d, ok := r.next(); ok {
		t.Errorf("and then %v", d)
	}
	if sum < time.Second {
		t.Errorf("given up after %v, sooner than a slow TPM extends", sum)
	}
}
