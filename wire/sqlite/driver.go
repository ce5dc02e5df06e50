package sqlite

import (
	"context"
	"database/sql/driver"
)

// uninterrupted opens connections on which a context that ends stops no
// statement. SQLite rolls the whole transaction back when a statement that
// writes is interrupted, so one caller who leaves would take the writes of
// everybody else in the batch with him (I10).
type uninterrupted struct{ driver.Connector }

// Connect implements driver.Connector.
func (u uninterrupted) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := u.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return conn{c.(inner)}, nil
}

// inner is what the driver's connections implement.
type inner interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}

type conn struct{ inner }

func (c conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return c.inner.ExecContext(context.WithoutCancel(ctx), query, args)
}

func (c conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.inner.QueryContext(context.WithoutCancel(ctx), query, args)
}

func (c conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s, err := c.inner.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt{s.(innerStmt)}, nil
}

// innerStmt is what the driver's prepared statements implement.
type innerStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type stmt struct{ innerStmt }

func (s stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.innerStmt.ExecContext(context.WithoutCancel(ctx), args)
}

func (s stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.innerStmt.QueryContext(context.WithoutCancel(ctx), args)
}
