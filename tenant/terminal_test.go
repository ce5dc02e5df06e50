package tenant

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal returns both ends of a pseudo-terminal (pts(4)): what is written to
// keyboard is read from screen as if it had been typed.
func terminal(t *testing.T) (keyboard, screen *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { keyboard.Close() })
	if err := unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { screen.Close() })
	return keyboard, screen
}

func TestColoursAreForTerminals(t *testing.T) {
	_, screen := terminal(t)
	for _, c := range []struct {
		w       any
		environ []string
		want    bool
	}{
		{screen, nil, true},
		{screen, []string{"NO_COLOR="}, true},
		{screen, []string{"NO_COLOR=1"}, false},
		{screen, []string{"TERM=dumb"}, false},
		{screen, []string{"TERM=xterm", "NO_COLORS=1"}, true},
		{new(bytes.Buffer), nil, false},
	} {
		p := &program{environ: c.environ}
		if got := p.coloured(c.w.(interface{ Write([]byte) (int, error) })); got != c.want {
			t.Errorf("%T with %q: %v", c.w, c.environ, got)
		}
	}
}

func TestProgressOnATerminal(t *testing.T) {
	keyboard, screen := terminal(t)
	b := (&program{stderr: screen}).progress("uploading a\x1bb", 20<<20, byteSize)
	for _, done := range []uint64{0, 1, 5 << 20, 20 << 20} {
		b.at(done)
	}
	b.end()
	want := "\r" + `uploading a\x1bb [....................]   0 %, 0 bytes of 20 MiB` + "\x1b[K\r" + `uploading a\x1bb [#####...............]  25 %, 5120 KiB of 20 MiB` + "\x1b[K\r" +
		`uploading a\x1bb [####################] 100 %, 20 MiB of 20 MiB` + "\x1b[K\r\n"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(keyboard, got); err != nil || string(got) != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	if b := (&program{stderr: screen, json: true}).progress("x", 1, byteSize); b != nil {
		t.Error("a bar beside JSON")
	}
	if b := (&program{stderr: new(bytes.Buffer)}).progress("x", 1, byteSize); b != nil {
		t.Error("a bar in a file")
	}
}

func TestConsentOnATerminal(t *testing.T) {
	for typed, want := range map[string]error{"y\n": nil, "Yes\n": nil, "\n": errRefused, "no\n": errRefused, "yo\n": errRefused} {
		keyboard, screen := terminal(t)
		var stderr strings.Builder
		p := &program{stdin: screen, stderr: &stderr}
		if _, err := keyboard.WriteString(typed); err != nil {
			t.Fatal(err)
		}
		err := new(confirmation).ask(p, "deleting \x07")
		if !errors.Is(err, want) || stderr.String() != `deleting \a? [y/N] ` {
			t.Errorf("%q: %v, %q", typed, err, stderr.String())
		}
	}
}

// A program that asks for JSON is not asked back.
func TestNoQuestionsWithJSON(t *testing.T) {
	_, screen := terminal(t)
	p := &program{stdin: screen, json: true}
	var u *usageError
	if err := new(confirmation).ask(p, "deleting"); !errors.As(err, &u) {
		t.Errorf("%v", err)
	}
}
