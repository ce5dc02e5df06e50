package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"testing"
	"time"

	"modernc.org/sqlite"
)

// leave is what the SQL function leave() calls: it ends a context in the middle
// of a statement.
var leave func()

func init() {
	sqlite.MustRegisterScalarFunction("leave", 0, func(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) {
		leave()
		time.Sleep(20 * time.Millisecond) // for the driver to notice, if it looks
		return "", nil
	})
}

// The context of one caller ends in the middle of a statement. Were the
// statement interrupted, SQLite would roll the whole batch back.
func TestI10_LeavingCallerHarmsNobody(t *testing.T) {
	const long = `INSERT INTO kv WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
		SELECT 'n' || i, CASE i WHEN 100 THEN leave() ELSE '' END FROM n`
	drain := func(rows *sql.Rows, err error) error {
		if err != nil {
			return err
		}
		return rows.Close()
	}
	statements := map[string]func(context.Context, *sql.Tx) error{
		"exec": func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, long)
			return err
		},
		"query": func(ctx context.Context, tx *sql.Tx) error {
			return drain(tx.QueryContext(ctx, long+" RETURNING k"))
		},
		"prepared exec": func(ctx context.Context, tx *sql.Tx) error {
			s, err := tx.PrepareContext(ctx, long)
			if err != nil {
				return err
			}
			_, err = s.ExecContext(ctx)
			return err
		},
		"prepared query": func(ctx context.Context, tx *sql.Tx) error {
			s, err := tx.PrepareContext(ctx, long+" RETURNING k")
			if err != nil {
				return err
			}
			return drain(s.QueryContext(ctx))
		},
	}
	for name, statement := range statements {
		t.Run(name, func(t *testing.T) {
			db := start(t)
			errs := together(t, db, put("a", ""), func(tx *sql.Tx) error {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				leave = cancel
				if err := statement(ctx, tx); err != nil && !errors.Is(err, context.Canceled) {
					return fmt.Errorf("interrupted: %w", err)
				}
				_, err := tx.Exec("DELETE FROM kv WHERE k GLOB 'n*'")
				return err
			}, put("b", ""))
			for i, err := range errs {
				if err != nil {
					t.Errorf("write %d: %v", i, err)
				}
			}
			wantKeys(t, db, "a", "b")
		})
	}
}
