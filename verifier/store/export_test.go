package store

import "testing"

const (
	MaxWithdrawn    = maxWithdrawn
	MaxWithdrawnAge = maxWithdrawnAge
)

// CollectGarbage does what RunGarbage does again and again.
func (s *Store) CollectGarbage(t *testing.T) {
	t.Helper()
	if _, err := s.sweep(t.Context(), garbageAge); err != nil {
		t.Fatal(err)
	}
}
