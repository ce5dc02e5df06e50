package payload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"quicklime/wire"
	"quicklime/wire/payload"
)

// Runner runs programs of payloads, outside the agent and as whoever it runs itself.
type Runner struct {
	Dir     string // of the payloads
	Allowed Allowed
	Timeout time.Duration // for one program
	Linger  time.Duration // how long to wait for more before RunAll ends
	Log     *slog.Logger
	Now     func() time.Time
}

// RunAll runs what the agent has asked for, one after the other, and says what became
// of each, until nothing is left and nothing has come for a while. A request for what is
// not allowed is dropped: who may write requests is the agent, and who decides is the
// administrator. Whatever else is in the directory of requests is removed, for systemd
// starts this again and again as long as there is something.
func (r Runner) RunAll(ctx context.Context) error {
	root, err := os.OpenRoot(r.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	r.giveBack(root) // what one left that was killed
	defer r.giveBack(root)
	failed := 0
	for ctx.Err() == nil {
		names, err := r.waiting(ctx)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			break
		}
		for _, name := range names {
			err := r.one(ctx, root, name)
			if errors.Is(err, errStays) {
				return err // else this would never end
			}
			if err != nil {
				r.Log.Error("a program of a payload is not run", "error", err)
				failed++
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d requests came to nothing; the log says why", failed)
	}
	return nil
}

// waiting lists what is asked for, which it waits for if there is nothing.
func (r Runner) waiting(ctx context.Context) (names []string, err error) {
	for range 2 {
		entries, err := os.ReadDir(filepath.Join(r.Dir, runDir))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") { // else it is being written
				names = append(names, e.Name())
			}
		}
		if len(names) > 0 {
			return names, nil
		}
		select {
		case <-time.After(r.Linger):
		case <-ctx.Done():
			return nil, nil
		}
	}
	return nil, nil
}

// giveBack makes directories that programs left the agent's, which then can wipe what is
// in them. Files stay whose they are: one may have another name elsewhere.
func (r Runner) giveBack(root *os.Root) {
	top, err := root.Stat(".")
	if err != nil {
		return
	}
	uid, ok := owner(top)
	if !ok || uid == os.Geteuid() {
		return
	}
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return giveDirectory(root, name, top, uid)
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.Log.Warn("not all directories of payloads could be made the agent's", "error", err)
	}
}

// giveDirectory makes one the agent's: what was opened, for the agent may put something
// else there meanwhile.
func giveDirectory(root *os.Root, name string, top fs.FileInfo, uid int) (err error) {
	d, err := root.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	st, err := d.Stat()
	if err != nil || !st.IsDir() || !mine(st) || !sameDevice(st, top) {
		return err
	}
	return d.Chown(uid, -1)
}

// one takes a request and does what it asks.
func (r Runner) one(ctx context.Context, root *os.Root, file string) error {
	if !strings.HasSuffix(file, ".json") {
		return errors.Join(fmt.Errorf("%s is no request", file), removeRequest(root, filepath.Join(runDir, file)))
	}
	q, err := takeRequest(root, filepath.Join(runDir, file))
	if err != nil {
		return fmt.Errorf("request %s: %w", file, err)
	}
	if allowed, ok := r.Allowed.of(q.Name); !ok || allowed != q.File || file != q.Name+".json" {
		return fmt.Errorf("payload %s: running %q is not allowed by run in [payload] of agent.toml", q.Name, q.File)
	}
	r.Log.Info("running a program of a payload", "payload", q.Name, "version", q.Version, "file", q.File)
	res := r.run(ctx, root, q)
	res.Version, res.At = q.Version, r.Now().UTC()
	r.Log.Info("a program of a payload has ended", "payload", q.Name, "version", q.Version, "exit", res.Exit, "output", string(res.Output))
	return writeResult(root, q.Name, res)
}

// takeRequest reads a request and removes it: what cannot be run is not tried again
// and again.
func takeRequest(root *os.Root, file string) (q request, err error) {
	b, err := readRequest(root, file)
	if err == nil {
		err = json.Unmarshal(b, &q)
	}
	if err == nil && (!wire.ValidName(q.Name) || !filepath.IsLocal(q.File)) {
		err = fmt.Errorf("it names %q of %q", q.File, q.Name)
	}
	return q, errors.Join(err, removeRequest(root, file))
}

// errStays says that something cannot be removed from among the requests.
var errStays = errors.New("a request cannot be removed")

func removeRequest(root *os.Root, file string) error {
	if err := root.RemoveAll(file); err != nil {
		return fmt.Errorf("%w: %w", errStays, err)
	}
	return nil
}

func readRequest(root *os.Root, file string) ([]byte, error) {
	f, err := root.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxResult))
}

// run runs a program in the payload's directory.
func (r Runner) run(ctx context.Context, root *os.Root, q request) result {
	path := filepath.Join(r.Dir, q.Name, q.File)
	command, err := commandLine(root, filepath.Join(q.Name, q.File), path)
	if err != nil {
		return result{Exit: 126, Output: []byte("quicklime: " + err.Error())} // as shells say it of what cannot be run
	}
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	out := &tail{}
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.Dir = filepath.Join(r.Dir, q.Name)
	c.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "QUICKLIME_PAYLOAD=" + q.Name, fmt.Sprint("QUICKLIME_PAYLOAD_VERSION=", q.Version)}
	c.Stdout, c.Stderr = out, out
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) } // it and what it has started
	c.WaitDelay = time.Second
	err = c.Run()
	if ctx.Err() != nil {
		fmt.Fprintf(out, "\nquicklime: killed after %v", r.Timeout)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		fmt.Fprintf(out, "quicklime: %v", err)
		return result{Exit: 126, Output: out.b, Cut: out.cut}
	}
	return result{Exit: c.ProcessState.ExitCode(), Output: out.b, Cut: out.cut}
}

// commandLine is how a file is run: a script by its interpreter, which is named here
// because /run is often mounted noexec, anything else by itself.
func commandLine(root *os.Root, local, path string) ([]string, error) {
	f, err := root.OpenFile(local, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", local)
	}
	head := make([]byte, 256)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	line, _, _ := strings.Cut(string(head[:n]), "\n")
	if interpreter, ok := strings.CutPrefix(line, "#!"); ok {
		if command := strings.Fields(interpreter); len(command) > 0 {
			return append(command, path), nil
		}
	}
	if st.Mode().Perm()&0o100 == 0 {
		return nil, fmt.Errorf("%s is neither a script nor executable", local)
	}
	return []string{path}, nil
}

// tail keeps the end of what is written to it.
type tail struct {
	b   []byte
	cut bool
}

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if n := len(t.b) - payload.MaxOutput; n > 0 {
		t.b, t.cut = slices.Delete(t.b, 0, n), true
	}
	return len(p), nil
}

// writeResult leaves a result for the agent, to whom the directory belongs.
func writeResult(root *os.Root, name string, r result) (err error) {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	fresh, file := filepath.Join(resultsDir, name+".new"), filepath.Join(resultsDir, name+".json")
	if err := root.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if st, e := root.Stat(resultsDir); e == nil {
		if uid, ok := owner(st); ok && uid != os.Geteuid() {
			err = errors.Join(err, f.Chown(uid, -1))
		}
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return root.Rename(fresh, file)
}
