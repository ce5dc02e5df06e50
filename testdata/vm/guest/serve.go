package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"quicklime/testdata/vm/control"
)

// serve is /sbin/init: it brings the machine up and does what it is asked.
func serve() error {
	os.Setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
	if err := errors.Join(mount("securityfs", "/sys/kernel/security", "securityfs"), mount("tmpfs", "/run", "tmpfs"), mount("tmpfs", "/tmp", "tmpfs"),
		unix.Sethostname([]byte("guest")), network()); err != nil {
		return err
	}
	p, err := port()
	if err != nil {
		return err
	}
	hello, err := greeting()
	if err != nil {
		return err
	}
	m := &machine{port: p, say: json.NewEncoder(p)}
	if err := m.say.Encode(control.Message{Hello: &hello}); err != nil {
		return err
	}
	for requests := json.NewDecoder(p); ; {
		var r control.Request
		if err := requests.Decode(&r); err != nil {
			return fmt.Errorf("request: %w", err)
		}
		answer, err := m.do(r)
		if err != nil {
			answer.Error = err.Error()
		}
		if err := m.say.Encode(answer); err != nil {
			return err
		}
	}
}

func greeting() (control.Hello, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return control.Hello{}, err
	}
	line, err := os.ReadFile("/proc/cmdline")
	return control.Hello{Kernel: unix.ByteSliceToString(u.Release[:]), CommandLine: strings.TrimSpace(string(line))}, err
}

// machine is the guest as the driver sees it.
type machine struct {
	port    *os.File
	say     *json.Encoder
	started *exec.Cmd // nil: none
}

func (m *machine) do(r control.Request) (answer control.Message, err error) {
	switch r.Do {
	case control.Run:
		return finish(exec.Command(r.Args[0], r.Args[1:]...), r.Input)
	case control.Exec:
		c := exec.Command("/proc/self/exe", append([]string{atMarker, "3"}, r.Args...)...)
		c.ExtraFiles = []*os.File{m.port}
		return finish(c, r.Input)
	case control.Start:
		err = m.start(r)
		if err == nil {
			answer.PID = m.started.Process.Pid
		}
		return answer, err
	case control.Stop:
		return answer, m.stop()
	case control.Read:
		answer.Out, err = os.ReadFile(r.Path)
		return answer, err
	case control.Write:
		return answer, os.WriteFile(r.Path, r.Input, 0o600)
	case control.Fill:
		return answer, fill(r.Path, r.Count)
	case control.Ping:
		return answer, nil
	case control.Suspend:
		return answer, os.WriteFile("/sys/power/state", []byte("mem"), 0)
	case control.Reboot:
		return answer, m.down(unix.LINUX_REBOOT_CMD_RESTART)
	case control.Off:
		return answer, m.down(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}
	return answer, fmt.Errorf("there is no verb %q", r.Do)
}

// finish runs a program to its end.
func finish(c *exec.Cmd, input []byte) (answer control.Message, err error) {
	var out, said bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(input), &out, &said
	err = c.Run()
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		answer.Exit, err = e.ExitCode(), nil
	}
	answer.Out, answer.Err = out.Bytes(), said.Bytes()
	return answer, err
}

func (m *machine) start(r control.Request) error {
	if m.started != nil {
		return fmt.Errorf("%s runs already", m.started.Path)
	}
	c := exec.Command(r.Args[0], r.Args[1:]...)
	c.Stdout, c.Stderr, c.Env = os.Stdout, os.Stderr, append(os.Environ(), r.Env...)
	if err := c.Start(); err != nil {
		return err
	}
	m.started = c
	return nil
}

// stop ends what was started, in order; how it ended it has said on the console.
func (m *machine) stop() error {
	c := m.started
	if c == nil {
		return nil
	}
	m.started = nil
	if err := c.Process.Signal(unix.SIGTERM); err != nil {
		return err
	}
	_ = c.Wait()
	return nil
}

// fill makes files of different contents, and reads each as root does, so that a kernel
// measures it.
func fill(dir string, count int) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for i := range count {
		file := filepath.Join(dir, strconv.Itoa(i))
		if err := os.WriteFile(file, []byte(file), 0o644); err != nil {
			return err
		}
		if _, err := os.ReadFile(file); err != nil {
			return err
		}
	}
	return nil
}

// down ends the boot. The kernel tells the TPM on the way.
func (m *machine) down(how int) error {
	if err := m.stop(); err != nil {
		return err
	}
	unix.Sync()
	return unix.Reboot(how)
}

const atMarker = "at-marker"

// replaceSelf writes a marker to a descriptor, which it closes for the program that
// takes its place, and becomes that program: between the two is no system call.
func replaceSelf(fd string, args []string) error {
	n, err := strconv.Atoi(fd)
	if err != nil {
		return err
	}
	line, err := json.Marshal(control.Message{Marker: true})
	if err != nil {
		return err
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	environ := os.Environ()
	unix.CloseOnExec(n)
	if _, err := unix.Write(n, append(line, '\n')); err != nil {
		return fmt.Errorf("marker: %w", err)
	}
	return unix.Exec(path, args, environ)
}
