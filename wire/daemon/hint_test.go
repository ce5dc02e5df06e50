package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

func TestComplain(t *testing.T) {
	plain := errors.New("no such file")
	hinted := WithHint(plain, "make %s", "one")
	for _, c := range []struct {
		name string
		err  error
		want string
		code int
	}{
		{"usage", plain, "p: no such file\n", ExitUsage},
		{"failure", Failed(plain), "p: no such file\n", ExitFailed},
		{"failure inside", fmt.Errorf("read: %w", Failed(plain)), "p: read: no such file\n", ExitFailed},
		{"hint", hinted, "p: no such file\nhint: make one\n", ExitUsage},
		{"hint of a failure", Failed(hinted), "p: no such file\nhint: make one\n", ExitFailed},
		{"hint inside", fmt.Errorf("read: %w", hinted), "p: read: no such file\nhint: make one\n", ExitUsage},
		{"what a terminal obeys", WithHint(fmt.Errorf("\x1b[2J: %w\r\nall is well", plain), "\x07"), "p: \\x1b[2J: no such file\\r\nall is well\nhint: \\a\n", ExitUsage},
		{"two hints", WithHint(fmt.Errorf("read: %w", hinted), "read another"), "p: read: no such file\nhint: read another\n", ExitUsage},
	} {
		var b bytes.Buffer
		Complain(&b, "p", c.err)
		if got := b.String(); got != c.want || ExitCode(c.err) != c.code {
			t.Errorf("%s: %q and exit code %d, want %q and %d", c.name, got, ExitCode(c.err), c.want, c.code)
		}
		if !errors.Is(c.err, plain) {
			t.Errorf("%s: the cause is lost", c.name)
		}
	}
	if WithHint(nil, "x") != nil || Failed(nil) != nil || ExitCode(nil) != ExitDone {
		t.Error("no error became one")
	}
}
