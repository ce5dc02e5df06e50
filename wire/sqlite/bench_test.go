package sqlite

import (
	"database/sql"
	"sync/atomic"
	"testing"
)

var benchKey atomic.Int64

func insertNext(tx *sql.Tx) error {
	_, err := tx.Exec("INSERT INTO kv VALUES (?, 'v')", benchKey.Add(1))
	return err
}

// BenchmarkSingle is one writer after another: a commit each.
func BenchmarkSingle(b *testing.B) {
	db := start(b)
	for b.Loop() {
		if err := db.Write(b.Context(), insertNext); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGrouped is 64 writers at a time for each core: they share commits.
func BenchmarkGrouped(b *testing.B) {
	db := start(b)
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := db.Write(b.Context(), insertNext); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
