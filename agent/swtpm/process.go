package swtpm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/google/go-tpm/tpm2"

	"quicklime/agent/tpmdev"
)

const (
	// startTimeout bounds the start of swtpm, which answers within milliseconds
	// unless another holds the state.
	startTimeout = 10 * time.Second

	// startPause is how often a starting swtpm is asked whether it answers.
	startPause = 5 * time.Millisecond

	// stopTimeout is how long swtpm has to write its state and end.
	stopTimeout = 5 * time.Second
)

// TPM is a running swtpm. It ends with the process that started it.
type TPM struct {
	dir     string
	process *os.Process
	ended   chan struct{} // closed when the process has ended and was reaped
	said    tail          // what it printed; read it only when it has ended
}

// Start powers the TPM below dir on, as a machine that is switched on does: PCRs
// at their reset values, resetCount one higher. It returns when the TPM answers;
// ctx bounds only the wait for that.
func Start(ctx context.Context, dir string) (*TPM, error) {
	dir, err := usable(dir)
	if err != nil {
		return nil, err
	}
	if held, err := filepath.Glob(filepath.Join(dir, stateDir, "*.permall")); err != nil || len(held) == 0 {
		return nil, fmt.Errorf("there is no TPM in %s: create it first", dir)
	}
	t, err := run(dir)
	if err != nil {
		return nil, err
	}
	if err := t.await(ctx); err != nil {
		return nil, errors.Join(err, t.Kill())
	}
	return t, nil
}

// run starts the process, and the goroutine that reaps it. That goroutine keeps
// its thread until then: the kernel ends the process when the thread that
// started it ends (PR_SET_PDEATHSIG), and no other thread of a Go program is
// sure to stay.
func run(dir string) (*TPM, error) {
	path, err := program("swtpm")
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, "socket", "--tpm2",
		"--tpmstate", "dir="+filepath.Join(dir, stateDir),
		"--server", "type=unixio,path="+filepath.Join(dir, serverSocket),
		"--ctrl", "type=unixio,path="+filepath.Join(dir, controlSocket),
		"--flags", "not-need-init,startup-clear")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	t := &TPM{dir: dir, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &t.said, &t.said
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(t.ended)
		defer unlockDir(lock)
		err := cmd.Start()
		t.process = cmd.Process
		started <- err
		if err == nil {
			_ = cmd.Wait() // why it ended it said itself
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return t, nil
}

// lockDir makes sure that the TPM runs once: a second swtpm of version 0.7 would
// take the first one's sockets and write over its state.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("the TPM in %s runs already", dir)
		}
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return f, nil
}

// unlockDir gives up the lock, also for a process that is being started at this
// moment and has not closed its copy of the descriptor yet: closing ours would
// leave the lock to that one.
func unlockDir(lock *os.File) {
	_ = syscall.Flock(int(lock.Fd()), syscall.LOCK_UN)
	lock.Close()
}

// await waits until the TPM answers.
func (t *TPM) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	last := errors.New("it was not asked")
	for ctx.Err() == nil {
		d, err := tpmdev.OpenShared(t.Device())
		if err == nil {
			return d.Close()
		}
		last = err
		select {
		case <-t.ended:
			return fmt.Errorf("swtpm ended: %v", &t.said)
		case <-ctx.Done():
		case <-time.After(startPause):
		}
	}
	return fmt.Errorf("swtpm does not answer: %w: %w", ctx.Err(), last)
}

// Device returns the name under which tpmdev opens the TPM.
func (t *TPM) Device() string { return Device(t.dir) }

// Dir returns the directory below which the TPM is.
func (t *TPM) Dir() string { return t.dir }

// Ended is closed when the process has ended, for whatever reason.
func (t *TPM) Ended() <-chan struct{} { return t.ended }

// Stop powers the TPM off in order: TPM2_Shutdown, then the end of the process.
func (t *TPM) Stop() error {
	err := t.shutdown()
	select {
	case <-t.ended:
		return errors.Join(err, fmt.Errorf("swtpm had ended: %v", &t.said))
	default:
	}
	err = errors.Join(err, t.process.Signal(syscall.SIGTERM))
	select {
	case <-t.ended:
		return err
	case <-time.After(stopTimeout):
		return errors.Join(err, errors.New("swtpm did not end when told to"), t.Kill())
	}
}

// shutdown tells the TPM to save what it must.
func (t *TPM) shutdown() error {
	_, err := tpm2.Shutdown{ShutdownType: tpm2.TPMSUClear}.Execute(tpmdev.Socket(filepath.Join(t.dir, serverSocket)))
	if err != nil {
		return fmt.Errorf("TPM2_Shutdown: %w", err)
	}
	return nil
}

// Kill powers the TPM off as a power cut does.
func (t *TPM) Kill() error {
	err := t.process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-t.ended
	return err
}
