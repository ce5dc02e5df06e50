package systemd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// repository is where this one begins.
const repository = "../.."

// install puts what the package brings, and a configuration, where a machine has it.
func install(t *testing.T) (root string) {
	t.Helper()
	root, err := os.MkdirTemp("/var/tmp", "quicklime-systemd-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	build := exec.Command("go", "build", "-o", filepath.Join(root, "usr/bin")+"/", "./agent/cmd/...", "./registrar/cmd/...", "./verifier/cmd/...", "./tenant/cmd/...")
	build.Dir = repository
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for from, to := range map[string]string{
		"packaging/systemd":             "usr/lib/systemd/system",
		"packaging/sysusers.d":          "usr/lib/sysusers.d",
		"testdata/captures/reboot-1":    "srv/capture",
		"testdata/systemd/testdata":     "srv/payloads",
		"testdata/systemd/testdata/etc": "etc/quicklime",
	} {
		if err := os.CopyFS(filepath.Join(root, to), os.DirFS(filepath.Join(repository, from))); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"passwd":        "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
		"group":         "root:x:0:\ntty:x:5:\nutmp:x:43:\nshadow:x:42:\nnogroup:x:65534:\n",
		"nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
		"hosts":         "127.0.0.1 localhost\n",
		"hostname":      "box\n",
		"machine-id":    "",
		"fstab":         "",
	} {
		if err := os.WriteFile(filepath.Join(root, "etc", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// What is about a whole machine, and not one in another.
	units := filepath.Join(root, "etc/systemd/system")
	if err := os.MkdirAll(units, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, unit := range []string{"systemd-sysctl.service", "systemd-logind.service", "dbus.service", "dbus.socket", "systemd-udevd.service", "systemd-random-seed.service",
		"systemd-networkd.service", "systemd-resolved.service", "systemd-timesyncd.service", "getty.target", "timers.target", "ssh.service", "cron.service", "docker.service", "containerd.service"} {
		if err := os.Symlink("/dev/null", filepath.Join(units, unit)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(root, "etc/quicklime/actions.d/50-note"), 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

// shipped are the units that a machine gets.
const shipped = "quicklime-agent.service quicklime-payload.path quicklime-payload.service quicklime-actions.path quicklime-actions.service quicklime-renew.timer quicklime-renew.service"

// TestUnits tells the story of a machine whose parts are run by systemd: it joins, is
// trusted, gets payloads that bring something to run, loses one of them and then its trust,
// and acts on the notice.
func TestUnits(t *testing.T) {
	possible(t)
	m := start(t, install(t))
	m.step("Units", m.units)
	m.step("Servers", m.servers)
	m.step("Join", m.join)
	m.step("Agent", m.agent)
	m.step("Payload", m.payload)
	m.step("ManyPayloads", m.many)
	m.step("Meanwhile", m.meanwhile)
	m.step("Restart", m.restart)
	m.step("Withdrawn", m.withdrawn)
	m.step("LargePayload", m.large)
	m.step("Action", m.action)
	if failed := m.run("systemctl --no-pager --plain --no-legend --failed"); failed != "" {
		m.fatal("units failed: %s", failed)
	}
}

// units holds the units against systemd's own opinion.
func (m *machine) units(t *testing.T) {
	if out := m.run("systemd-analyze verify --man=no " + shipped); out != "" {
		t.Errorf("systemd-analyze verify: %s", out)
	}
	out := m.run("systemd-analyze security --no-pager quicklime-agent.service")
	found := regexp.MustCompile(`Overall exposure level for quicklime-agent.service: (\S+) `).FindStringSubmatch(out)
	if found == nil {
		t.Fatalf("systemd-analyze security: %s", out)
	}
	t.Logf("exposure of quicklime-agent.service: %s of 10", found[1])
	if m.run("id -nG quicklime-agent") != "quicklime-agent tss\n" {
		t.Error("the agent's user is not in group tss")
	}
}

// servers starts a TPM, and both servers with what they do by themselves.
func (m *machine) servers(*testing.T) {
	m.run(`cd /var/lib && quicklime-ima-emulator tpm create --dir tpm && mkdir /etc/quicklime/ek-anchors &&
		cp tpm/ca/swtpm-localca-rootca-cert.pem tpm/ca/issuercert.pem /etc/quicklime/ek-anchors`)
	m.run("systemd-run -q --unit=tpm quicklime-ima-emulator tpm run --dir /var/lib/tpm")
	m.run("systemd-run -q --unit=registrar quicklime-registrar && systemd-run -q --unit=verifier quicklime-verifier")
	m.retry("quicklime-tenant agent list")
	m.retry("quicklime-ima-emulator boot --tpm unix:/var/lib/tpm/tpm.sock --root /var/lib/box --boot-log /srv/capture/binary_bios_measurements --list /srv/capture/binary_runtime_measurements")
	m.run("chmod 711 /var/lib/tpm && chgrp tss /var/lib/tpm/tpm.sock && chmod 660 /var/lib/tpm/tpm.sock") // as udev has it of a device
}

// join lets the machine join and be enrolled, and starts the units.
func (m *machine) join(*testing.T) {
	m.run("quicklime-tenant payload key init && quicklime-tenant join-token create --label box | quicklime-agent join")
	m.run("quicklime-tenant policy create --from-list /var/lib/box/binary_runtime_measurements -o /root/box.json && quicklime-tenant policy add box /root/box.json")
	m.run("quicklime-tenant agent add box --policy box")
	m.run("systemctl enable --now quicklime-agent.service quicklime-payload.path quicklime-actions.path 2>&1")
	m.retry("quicklime-tenant agent status box --wait trusted")
}

// agent looks at what the sandbox leaves the agent.
func (m *machine) agent(t *testing.T) {
	pid := strings.TrimSpace(m.run("systemctl show -P MainPID quicklime-agent.service"))
	status := m.run("cat /proc/" + pid + "/status")
	for what, want := range map[string]string{"CapEff": "0000000000000004", "CapBnd": "0000000000000004", "NoNewPrivs": "1", "Seccomp": "2"} {
		if !strings.Contains(status, what+":\t"+want+"\n") {
			t.Errorf("%s is not %s:\n%s", what, want, status)
		}
	}
	if got := m.run("stat -c %U:%a /run/quicklime-agent /run/quicklime-agent/payloads /var/lib/quicklime-agent /proc/" + pid + " | sort -u"); got != "quicklime-agent:555\nquicklime-agent:700\n" {
		t.Errorf("owners and modes are %s", got)
	}
	if got := m.run("stat -f -c %T /run/quicklime-agent/payloads"); got != "tmpfs\n" {
		t.Errorf("payloads are in %s", got)
	}
	for _, line := range []string{"echo x > /etc/x", "echo x > /var/lib/x", "ls /root", "echo 1 > /proc/sys/kernel/panic"} {
		if out, err := m.try(fmt.Sprintf("nsenter -t %s -m -S quicklime-agent -G quicklime-agent sh -c %q", pid, line)); err == nil {
			t.Errorf("in the agent's mounts: %s: %s", line, out)
		}
	}
}

// payload sends one whose program root runs, and looks at where it is.
func (m *machine) payload(t *testing.T) {
	out := m.run("quicklime-tenant payload send box /srv/payloads/site --wait && for i in $(seq 100); do quicklime-tenant payload status box site | grep 'its program' && break; sleep 0.1; done; quicklime-tenant payload status box site")
	for _, want := range []string{"stored, 3 files", "its program exited 4", "hello from site as root"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	if got := m.run("stat -c %U:%a /run/quicklime-agent/payloads/site /run/quicklime-agent/payloads/site/autorun.sh"); got != "quicklime-agent:700\nquicklime-agent:700\n" {
		t.Errorf("owner and mode are %s", got)
	}
}

// most is how many payloads there are beside that one: with it as many as a machine may
// have.
const most = 15

// many sends payloads one after the other, more in ten seconds than systemd starts a unit
// by default: what each brings is run.
func (m *machine) many(*testing.T) {
	m.run(fmt.Sprintf("for i in $(seq %d); do quicklime-tenant payload send box /srv/payloads/site --name many-$i || exit 1; done", most))
	for i := range most {
		m.retry(fmt.Sprintf("quicklime-tenant payload status box many-%d | grep 'its program exited 4'", i+1))
	}
}

// meanwhile has a payload replaced while its program runs.
func (m *machine) meanwhile(*testing.T) {
	for i := range 3 {
		m.run(fmt.Sprintf("echo %d > /srv/payloads/slow/number && quicklime-tenant payload send box /srv/payloads/slow --name many-1 --wait", i))
	}
	m.retry("quicklime-tenant payload status box many-1 | grep 'the number is 2'")
}

// restart stops the agent, whose payloads stay, and starts it again.
func (m *machine) restart(*testing.T) {
	m.run("systemctl stop quicklime-agent && cmp /srv/payloads/site/password /run/quicklime-agent/payloads/site/password && systemctl start quicklime-agent")
	m.retry("quicklime-tenant agent status box --wait trusted && cmp /srv/payloads/site/password /run/quicklime-agent/payloads/site/password")
}

// withdrawn deletes a payload in which root left a directory.
func (m *machine) withdrawn(*testing.T) {
	m.run("test -e /run/quicklime-agent/payloads/site/__pycache__/left")
	m.run("quicklime-tenant payload delete --yes box site")
	m.retry("quicklime-tenant payload list box | grep 'site .* withdrawn: '")
	m.run("! test -e /run/quicklime-agent/payloads/site && test -z \"$(ls -A /run/quicklime-agent/payloads/.stage)\"")
}

// large sends the most that a payload may be, of which agent and verifier never hold more
// in memory of their own than a part.
func (m *machine) large(t *testing.T) {
	most := "grep -h VmHWM /proc/$(systemctl show -P MainPID %s)/status | tr -dc 0-9"
	var before, after [2]int
	for i, unit := range []string{"quicklime-agent", "verifier"} {
		fmt.Sscan(m.run(fmt.Sprintf(most, unit)), &before[i])
	}
	m.run("head -c 64M /dev/urandom > /root/large && quicklime-tenant payload send box /root/large --wait && cmp /root/large /run/quicklime-agent/payloads/large/large")
	for i, unit := range []string{"quicklime-agent", "verifier"} {
		fmt.Sscan(m.run(fmt.Sprintf(most, unit)), &after[i])
		t.Logf("most memory of %s: %d MiB, before %d MiB", unit, after[i]>>10, before[i]>>10)
		if after[i] == 0 || after[i]-before[i] > 48<<10 {
			t.Errorf("%s took %d KiB more for a payload of 64 MiB", unit, after[i]-before[i])
		}
	}
	m.run("quicklime-tenant payload delete --yes box large")
	m.retry("! test -e /run/quicklime-agent/payloads/large")
	if out, err := m.try("journalctl -u verifier | grep unanswered"); err == nil {
		t.Errorf("a challenge was not answered: %s", out)
	}
}

// action has the machine fall, and looks for what the action was given.
func (m *machine) action(t *testing.T) {
	m.run("echo miner > /root/miner && quicklime-ima-emulator measure --tpm unix:/var/lib/tpm/tpm.sock --root /var/lib/box --as /usr/bin/miner /root/miner")
	m.retry("test -s /var/lib/noted")
	if got := m.run("cat /var/lib/noted"); !strings.Contains(got, `"kind":"lost"`) || !strings.Contains(got, `"this_machine":true`) || strings.Count(got, "\n") != 1 {
		t.Errorf("the action was given %s", got)
	}
	m.retry(`grep '"action":"50-note"' /var/lib/quicklime-actions/outcomes`)
	m.retry("test \"$(systemctl show -P ActiveState quicklime-actions.path)\" = active && test -z \"$(ls -A /var/lib/quicklime-agent/notices)\"")
}
