package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"quicklime/testdata/vm/control"
	"quicklime/wire/daemon"
)

// machine is an emulated machine: a directory with what stays when it is off, the TPM
// and the disk, and the processes while it is on.
type machine struct {
	dir  string
	path bootPath
	from kernel

	tpm, qemu *process // nil: off
	line      *line
	boots     int
	hello     control.Hello
}

// Files in a machine's directory.
const (
	tpmDir      = "tpm" // as quicklime/agent/swtpm lays it out
	diskFile    = "root.ext4"
	consoleFile = "console.log"
	varsFile    = "vars.fd" // the firmware's variables
	espFile     = "esp.img"
	tpmSocket   = "tpm.sock"
	lineSocket  = "line.sock"
	qmpSocket   = "qmp.sock"
)

func (m *machine) file(parts ...string) string {
	return filepath.Join(append([]string{m.dir}, parts...)...)
}

// commandLine is what every boot has. A panic reboots at once, which the driver sees. On a
// busy host the emulated timer is late for the kernel's check of it, after which some boots
// hang.
const commandLine = "console=ttyS0 panic=-1 net.ifnames=0 no_timer_check"

// measuring switches IMA's built-in policy on.
const measuring = "ima_policy=tcb"

// notMeasuring keeps Debian's kernels, which have IMA built in, from starting it.
const notMeasuring = "initcall_blacklist=init_ima"

// bootWithin bounds a boot: the slowest takes some 25 seconds on a quiet machine, and four
// times that on a busy one. It is for boots that hang.
const bootWithin = 6 * time.Minute

// on switches the machine on with options on the kernel's command line, and returns
// how long it took until its init was there.
func (m *machine) on(ctx context.Context, options string) (took time.Duration, err error) {
	began := time.Now()
	defer func() { err = m.explained(err) }()
	m.boots++
	if err := m.power(ctx, commandLine+" "+options); err != nil {
		return 0, errors.Join(err, m.kill())
	}
	if err := m.greeted(ctx); err != nil {
		return 0, errors.Join(err, m.kill())
	}
	return time.Since(began), nil
}

// power starts swtpm, and QEMU with it.
func (m *machine) power(ctx context.Context, options string) error {
	firmware, err := m.path.firmware(ctx, m, options)
	if err != nil {
		return err
	}
	for _, s := range []string{tpmSocket, lineSocket, qmpSocket} {
		if err := os.RemoveAll(m.file(s)); err != nil {
			return err
		}
	}
	// QEMU starts the TPM with each reset of the machine; "startup-clear" would count twice.
	m.tpm, err = start(m.dir, m.file("swtpm.log"), "swtpm", "socket", "--tpm2",
		"--tpmstate", "dir="+m.file(tpmDir, "state"), "--ctrl", "type=unixio,path="+tpmSocket, "--terminate")
	if err != nil {
		return err
	}
	if err := awaitSocket(ctx, m.file(tpmSocket), m.tpm); err != nil {
		return err
	}
	if m.qemu, err = start(m.dir, m.file("qemu.log"), slices.Concat(hardware, firmware)...); err != nil {
		return err
	}
	m.line, err = connect(ctx, m.file(lineSocket), m.qemu)
	return err
}

// hardware is the machine but for its firmware. Paths are in its directory.
//
// With cmpxchg16b, that QEMU 7.2 emulates, 6.12 dies in kmem_cache_alloc in many boots.
var hardware = []string{"qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max,-cx16", "-m", "512", "-smp", "1",
	"-nodefaults", "-display", "none", "-monitor", "none",
	"-chardev", "file,id=console,path=" + consoleFile + ",append=on", "-serial", "chardev:console",
	"-qmp", "unix:" + qmpSocket + ",server=on,wait=off",
	"-chardev", "socket,id=tpm,path=" + tpmSocket, "-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-tis,tpmdev=tpm0",
	"-drive", "file=" + diskFile + ",if=virtio,format=raw,cache=unsafe",
	"-netdev", "user,id=net,ipv6=off", "-device", "virtio-net-pci,netdev=net,romfile=",
	"-device", "virtio-serial-pci", "-chardev", "socket,id=line,path=" + lineSocket + ",server=on,wait=off",
	"-device", "virtserialport,chardev=line,name=" + control.Name,
}

// awaitSocket waits until a process has made a socket.
func awaitSocket(ctx context.Context, path string, of *process) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline) && ctx.Err() == nil && !of.ended(); time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s makes no socket; what it said is in %s", of.name, of.log)
}

// greeted waits for the guest's first word.
func (m *machine) greeted(ctx context.Context) error {
	said, err := m.line.next(ctx, bootWithin)
	if err != nil {
		return fmt.Errorf("boot %d: %w", m.boots, err)
	}
	if said.Hello == nil {
		return fmt.Errorf("boot %d: the guest began with something else than a greeting", m.boots)
	}
	m.hello = *said.Hello
	return nil
}

// reboot has the guest reboot, and returns how long that took. It has to be on.
func (m *machine) reboot(ctx context.Context) (took time.Duration, err error) {
	began := time.Now()
	defer func() { err = m.explained(err) }()
	m.boots++
	if err := m.line.send(control.Request{Do: control.Reboot}); err != nil {
		return 0, err
	}
	if err := m.greeted(ctx); err != nil {
		return 0, err
	}
	return time.Since(began), nil
}

// off has the guest switch the machine off, if it is on.
func (m *machine) off() error {
	if m.qemu == nil || m.qemu.ended() {
		return m.kill()
	}
	err := m.line.send(control.Request{Do: control.Off})
	return m.explained(errors.Join(err, m.qemu.await(patience), m.kill()))
}

// kill ends the processes as they are: a power cut.
func (m *machine) kill() (err error) {
	err = errors.Join(m.qemu.stop(), m.tpm.stop())
	if m.line != nil {
		m.line.conn.Close()
	}
	m.qemu, m.tpm, m.line = nil, nil, nil
	return err
}

// explained says where to look.
func (m *machine) explained(err error) error {
	return daemon.WithHint(err, "look at the end of %s, where the guest's kernel and agent say what they do, and at qemu.log and swtpm.log beside it", m.file(consoleFile))
}

// do asks the guest for something.
func (m *machine) do(ctx context.Context, r control.Request) (control.Message, error) {
	answer, _, err := m.line.ask(ctx, r)
	return answer, m.explained(err)
}

// run runs a program in the guest. Another exit code than 0 is an error with what it
// said.
func (m *machine) run(ctx context.Context, input []byte, args ...string) ([]byte, error) {
	answer, err := m.do(ctx, control.Request{Do: control.Run, Args: args, Input: input})
	if err == nil && answer.Exit != 0 {
		err = m.explained(fmt.Errorf("%s in the guest: exit code %d: %s%s", args[0], answer.Exit, answer.Err, answer.Out))
	}
	return answer.Out, err
}

// read returns a file of the guest.
func (m *machine) read(ctx context.Context, path string) ([]byte, error) {
	answer, err := m.do(ctx, control.Request{Do: control.Read, Path: path})
	return answer.Out, err
}
