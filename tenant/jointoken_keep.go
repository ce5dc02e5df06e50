package tenant

import (
	"errors"
	"fmt"
	"io"
	"os"

	"quicklime/wire/daemon"
)

// A tokenKeeper is where the token goes: a new file, or standard output.
type tokenKeeper struct{ file *os.File } // nil: standard output

// keepToken makes the file out, which nobody else may read and which must not be
// there yet: another's file could be open to everybody.
func (p *program) keepToken(out string) (tokenKeeper, error) {
	if out == "" {
		return tokenKeeper{}, nil
	}
	f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		err = daemon.WithHint(err, "remove %s, or name another file", out)
	}
	return tokenKeeper{f}, err
}

// put writes the token and answers the command.
func (k tokenKeeper) put(p *program, answer newToken, text string) error {
	if k.file == nil {
		answer.Token = text
		return p.show(answer, func(w io.Writer) { fmt.Fprintln(w, text) })
	}
	if _, err := fmt.Fprintln(k.file, text); err != nil {
		return err
	}
	return p.show(answer, func(io.Writer) { p.say("wrote %s", answer.File) })
}

// close closes the file, and removes it if there is no token in it.
func (k tokenKeeper) close(done bool) error {
	if k.file == nil {
		return nil
	}
	err := k.file.Close()
	if !done {
		err = errors.Join(err, os.Remove(k.file.Name()))
	}
	return err
}
