package actions

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// check refuses what others could have put there, or could change: a file or
// directory that is not root's or one's own, or that its group or others may write.
func check(name string) error {
	st, err := os.Lstat(name)
	if err != nil {
		return err
	}
	owner := st.Sys().(*syscall.Stat_t).Uid
	switch {
	case st.Mode()&os.ModeSymlink != 0:
		return fmt.Errorf("%s is a symbolic link: put the file itself there", name)
	case owner != 0 && int(owner) != os.Geteuid():
		return fmt.Errorf("%s belongs to user %d; run: chown root %[1]s", name, owner)
	case st.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s has mode %04o, so that others may write it; run: chmod go-w %[1]s", name, st.Mode().Perm())
	}
	return nil
}

// checkExecutable refuses what is not to be run.
func checkExecutable(name string) error {
	if err := check(name); err != nil {
		return err
	}
	st, err := os.Lstat(name)
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() || st.Mode().Perm()&0o100 == 0 {
		return fmt.Errorf("%s is no executable file; run: chmod u+x %[1]s", name)
	}
	return nil
}

// one runs an executable, with all bounds.
func (r *runner) one(ctx context.Context, name string, event []byte) Outcome {
	o := Outcome{Began: time.Now().UTC(), Code: -1}
	if err := checkExecutable(name); err != nil {
		o.Problem = "refused: " + err.Error()
		return o
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	out := &tail{max: maxOutput}
	c := exec.CommandContext(ctx, name)
	c.Dir = "/"
	c.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(event), out, out
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) } // its children, too
	c.WaitDelay = killDelay
	err := c.Run()
	o.Took = time.Since(o.Began)
	o.Output = out.String()
	if c.ProcessState != nil {
		o.Code = c.ProcessState.ExitCode()
	}
	exit := (*exec.ExitError)(nil)
	switch {
	case ctx.Err() != nil:
		o.Problem = fmt.Sprintf("killed after %v: %v", r.cfg.Timeout, ctx.Err())
	case err != nil && (!errors.As(err, &exit) || o.Code == -1):
		o.Problem = err.Error()
	}
	return o
}

// tail keeps the end of what is written to it.
type tail struct {
	max int
	b   []byte
	cut bool
}

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p[max(0, len(p)-t.max):]...)
	if over := len(t.b) - t.max; over > 0 || len(p) > t.max {
		t.b = append(t.b[:0], t.b[max(over, 0):]...)
		t.cut = true
	}
	return len(p), nil
}

func (t *tail) String() string {
	if t.cut {
		return "… " + string(t.b)
	}
	return string(t.b)
}
