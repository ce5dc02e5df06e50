package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// process is a program in the background. It is in a process group of its own, so that
// ctrl-C reaches the driver alone, which ends it in order; and it ends with the driver
// if that is killed.
type process struct {
	name string
	log  string // file with what it said
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// start starts a program in a directory with its output in a log. It must be called on
// a thread that stays: the kernel ends the program with the thread that started it
// (prctl(2), PR_SET_PDEATHSIG).
func start(dir, log string, args ...string) (*process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c := exec.Command(args[0], args[1:]...)
	c.Dir, c.Stdout, c.Stderr = dir, f, f
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	p := &process{name: filepath.Base(args[0]), log: log, cmd: c, done: make(chan struct{})}
	if err := c.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = c.Wait() // how it ended is in c.ProcessState
		close(p.done)
	}()
	return p, nil
}

// ended reports whether it has ended.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// patience bounds how long a program may take to end.
const patience = 10 * time.Second

// stop ends it; nil and one that has ended are no error.
func (p *process) stop() error {
	if p == nil || p.ended() {
		return nil
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return p.await(patience)
}

// await waits for its end, and kills it if that does not come.
func (p *process) await(within time.Duration) error {
	select {
	case <-p.done:
		return nil
	case <-time.After(within):
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.done
	return fmt.Errorf("%s did not end within %v and was killed; its log is %s", p.name, within, p.log)
}
