package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"quicklime/agent/swtpm"
	"quicklime/tenant/client"
	"quicklime/wire/pki"
	"quicklime/wire/rest"
)

// site is the management host: registrar and verifier on loopback, which the guest
// reaches under QEMU's address for the host, and the tenant's programs.
type site struct {
	dir, bin  string
	processes []*process
	verifier  *client.Verifier
}

// host is this machine as a guest of QEMU's user network sees it: what arrives there
// goes to loopback.
const host = "10.0.2.2"

// openSite starts the servers. The registrar takes only TPMs whose EK certificate chains to
// the CA of the TPM in tpm.
func openSite(ctx context.Context, dir, bin, tpm string) (s *site, err error) {
	s = &site{dir: dir, bin: bin}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	registrar, err := freePort()
	if err != nil {
		return s, err
	}
	verifier, err := freePort()
	if err != nil {
		return s, err
	}
	if err := s.configure(registrar, verifier, swtpm.Anchors(tpm)); err != nil {
		return s, err
	}
	for _, name := range []string{"quicklime-registrar", "quicklime-verifier"} {
		p, err := start(dir, filepath.Join(dir, name+".log"), filepath.Join(bin, name), "--config", s.etc())
		if err != nil {
			return s, err
		}
		s.processes = append(s.processes, p)
	}
	if err := s.answers(ctx); err != nil {
		return s, err
	}
	t, err := pki.ClientTLS(s.pki("ca.crt"), s.pki("tenant.crt"), s.pki("tenant.key"))
	if err != nil {
		return s, err
	}
	s.verifier, err = client.NewVerifier(fmt.Sprintf("https://127.0.0.1:%d", verifier), t)
	return s, err
}

func (s *site) etc() string            { return filepath.Join(s.dir, "etc") }
func (s *site) pki(file string) string { return filepath.Join(s.dir, "state", "pki", file) }

func (s *site) configure(registrar, verifier int, anchors []string) error {
	ek := filepath.Join(s.dir, "ek-anchors")
	for _, dir := range []string{s.etc(), ek} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	for _, f := range anchors {
		if err := copyFile(f, filepath.Join(ek, filepath.Base(f)), 0o600); err != nil {
			return err
		}
	}
	state := filepath.Join(s.dir, "state")
	server := fmt.Sprintf("state_dir = %q\npki_dir = %q\nserver_names = [\"localhost\", \"127.0.0.1\", %q]\n", state, s.pki(""), host)
	files := map[string]string{
		"registrar": server + fmt.Sprintf("listen = \"127.0.0.1:%d\"\nek_trust_anchors = %q\nek_certificate = \"require\"\n", registrar, ek),
		"verifier":  server + fmt.Sprintf("listen = \"127.0.0.1:%d\"\n", verifier),
		"tenant": fmt.Sprintf("registrar_url = \"https://127.0.0.1:%[2]d\"\nverifier_url = \"https://127.0.0.1:%[3]d\"\nregistrar_address = \"%[1]s:%[2]d\"\nverifier_address = \"%[1]s:%[3]d\"\nca = %[4]q\ncertificate = %[5]q\nkey = %[6]q\n",
			host, registrar, verifier, s.pki("ca.crt"), s.pki("tenant.crt"), s.pki("tenant.key")),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(s.etc(), name+".toml"), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// answers waits until both servers do.
func (s *site) answers(ctx context.Context) (err error) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		if _, err = s.tenant(ctx, "agent", "list"); err == nil {
			return nil
		}
		for _, p := range s.processes {
			if p.ended() {
				return fmt.Errorf("%s ended at its start; what it said is in %s", p.name, p.log)
			}
		}
	}
	return err
}

// tenant runs quicklime-tenant.
func (s *site) tenant(ctx context.Context, args ...string) ([]byte, error) {
	return output(ctx, s.dir, filepath.Join(s.bin, "quicklime-tenant"), append(args, "--config", s.etc())...)
}

func (s *site) close() (err error) {
	for _, p := range s.processes {
		err = errors.Join(err, p.stop())
	}
	return err
}

// until follows an agent until it is as wanted, and returns it as it is then.
func (s *site) until(ctx context.Context, id, what string, within time.Duration, wanted func(rest.Agent) bool) (a rest.Agent, err error) {
	waiting, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	next, err := s.verifier.Agent(waiting, id)
	for ; err == nil; next, err = s.verifier.PollAgent(waiting, id, a.Revision) {
		if a = next; wanted(a) {
			return a, nil
		}
	}
	if waiting.Err() != nil && ctx.Err() == nil {
		return a, fmt.Errorf("%s did not happen within %v: the machine is %s", what, within, words(a))
	}
	return a, err
}

// words is an agent in one line.
func words(a rest.Agent) string {
	text := string(a.Trust)
	if a.Reason != "" {
		text += ", " + a.Reason
	}
	if a.Epoch != nil {
		text += fmt.Sprintf("; boot %d.%d, %d entries", a.Epoch.ResetCount, a.Epoch.RestartCount, a.Epoch.Entries)
	}
	for _, f := range a.Failures {
		text += fmt.Sprintf("; %s %s %s", f.ID, f.Path, f.Message)
	}
	if a.Rejected != nil {
		text += fmt.Sprintf("; last rejected: %s %s", a.Rejected.ID, a.Rejected.Message)
	}
	return text
}

// freePort returns a port of loopback that is free for TCP and UDP.
func freePort() (int, error) {
	for range 20 {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return 0, err
		}
		port := l.Addr().(*net.TCPAddr).Port
		u, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		l.Close()
		if err == nil {
			u.Close()
			return port, nil
		}
	}
	return 0, errors.New("no loopback port is free for both TCP and UDP")
}
