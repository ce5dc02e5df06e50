package demo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// stage is the folder and the processes of one telling.
type stage struct {
	ctx               context.Context
	out               io.Writer
	bin, dir, capture string

	daemons []*daemon // that run, oldest first
	device  string    // of the TPM

	registrarAddr, verifierAddr string

	id      string // of the agent
	entries uint64 // in its list
	reset   uint32 // the TPM's count at the first boot
}

func (s *stage) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

func (s *stage) print(format string, args ...any) { fmt.Fprintf(s.out, format, args...) }

// note says one thing that was found true.
func (s *stage) note(format string, args ...any) {
	s.print("   ✓ "+format+"\n", args...)
}

// daemon is a program in the background.
type daemon struct {
	name string
	cmd  *exec.Cmd
	done chan error // its end, once
}

// start starts a program with its standard error in a log, and returns it with
// its standard output.
func (s *stage) start(name string, args ...string) (*daemon, io.Reader, error) {
	log, err := os.OpenFile(s.path("log", name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Stderr = log
	// ctrl-C is for the demo, which ends them in order; they end with it if it is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer w.Close()
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		return nil, nil, errors.Join(err, r.Close())
	}
	d := &daemon{name: name, cmd: cmd, done: make(chan error, 1)}
	go func() { d.done <- cmd.Wait() }()
	s.daemons = append(s.daemons, d)
	s.print("   $ %s %s &\n", name, s.short(args))
	return d, r, nil
}

// patience bounds how long a program may take to end.
const patience = 10 * time.Second

// stop sends a signal and waits for the end.
func (s *stage) stop(d *daemon, sig syscall.Signal) error {
	for i, other := range s.daemons {
		if other == d {
			s.daemons = append(s.daemons[:i], s.daemons[i+1:]...)
			break
		}
	}
	if err := d.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-d.done:
		return nil
	case <-time.After(patience):
		d.cmd.Process.Kill()
		<-d.done
		return fmt.Errorf("%s did not end within %v", d.name, patience)
	}
}

// end ends what still runs, the youngest first.
func (s *stage) end() (err error) {
	for len(s.daemons) > 0 {
		err = errors.Join(err, s.stop(s.daemons[len(s.daemons)-1], syscall.SIGTERM))
	}
	return err
}

// run runs a program to its end, shows the command, and returns its output. An
// exit code other than 0 is an error with what it said. Standard input has a name
// to show, unless it is empty.
func (s *stage) run(stdin input, name string, args ...string) ([]byte, error) {
	s.print("   $ %s %s%s\n", name, s.short(args), stdin.shown())
	return s.quiet(stdin, name, args...)
}

// input is a file in the demo's folder as standard input; empty: none.
type input string

func (i input) shown() string {
	if i == "" {
		return ""
	}
	return " < " + filepath.Base(string(i))
}

// quiet is run without showing the command.
func (s *stage) quiet(stdin input, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(s.ctx, filepath.Join(s.bin, name), args...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if stdin != "" {
		f, err := os.Open(string(stdin))
		if err != nil {
			return nil, err
		}
		defer f.Close()
		cmd.Stdin = f
	}
	if err := cmd.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("%s %s: %w: %s%s", name, s.short(args), err, said.Bytes(), out.Bytes())
	}
	return out.Bytes(), nil
}

// show runs a program and shows what it prints.
func (s *stage) show(name string, args ...string) error {
	out, err := s.run("", name, args...)
	s.printLines(out)
	return err
}

// printLines shows what a program printed.
func (s *stage) printLines(out []byte) {
	for line := range bytes.Lines(out) {
		s.print("%s\n", strings.TrimRight("     "+string(line), " \n"))
	}
}

// tenant runs a tenant command for its JSON.
func (s *stage) tenant(into any, args ...string) error {
	out, err := s.quiet("", "quicklime-tenant", append(args, "--json", "--config", s.path("etc"))...)
	if err != nil {
		return err
	}
	return json.Unmarshal(out, into)
}

// short is a command line without the folder's long name.
func (s *stage) short(args []string) string {
	line := strings.ReplaceAll(strings.Join(args, " "), s.dir+"/", "")
	line = strings.ReplaceAll(line, filepath.Dir(filepath.Dir(filepath.Dir(s.capture)))+"/", "")
	line = strings.ReplaceAll(line, " --config "+s.path("etc"), "")
	return strings.TrimSuffix(strings.ReplaceAll(line, "--config "+s.path("etc"), ""), " ")
}

// config writes a configuration file.
func (s *stage) config(component string, lines ...string) error {
	return os.WriteFile(s.path("etc", component+".toml"), []byte(strings.Join(lines, "\n")+"\n"), 0o600)
}

// freeAddress returns a loopback address that is free for TCP and UDP.
func freeAddress() (string, error) {
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		addr := l.Addr().String()
		u, err := net.ListenPacket("udp", addr)
		l.Close()
		if err == nil {
			u.Close()
			return addr, nil
		}
	}
	return "", errors.New("no loopback port is free for both TCP and UDP")
}

// firstLine returns the first line that a program prints.
func firstLine(ctx context.Context, r io.Reader, d *daemon) (string, error) {
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(r).ReadString('\n')
		line <- strings.TrimSpace(text)
	}()
	select {
	case l := <-line:
		if l == "" {
			return "", fmt.Errorf("%s ended without a word", d.name)
		}
		return l, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// eventually calls try until it returns nil, for at most a while.
func (s *stage) eventually(what string, within time.Duration, try func() error) error {
	deadline := time.Now().Add(within)
	for {
		err := try()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) || s.ctx.Err() != nil {
			return fmt.Errorf("%s did not happen within %v: %w", what, within, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
