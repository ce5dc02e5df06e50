package store

import (
	"context"
	"testing"

	"quicklime/wire/rest"
)

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

// ListAllPayloadsUntil is ListAllPayloads with smaller answers.
func (s *Store) ListAllPayloadsUntil(ctx context.Context, after string, enough int) (rest.AllPayloads, error) {
	return s.listAllPayloads(ctx, after, enough)
}
