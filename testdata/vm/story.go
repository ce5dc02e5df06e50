package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"quicklime/agent/swtpm"
	"quicklime/testdata/vm/control"
	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
)

// story is what is told of one kernel on one boot path.
type story struct {
	ctx  context.Context
	out  io.Writer
	dir  string
	bin  string
	told []int // chapters, from 1
	*site
	*machine

	id   string // of the agent
	pid  int    // of its process
	good []byte // the kernel's list of the first boot
	row  row
}

// row is a line of the table.
type row struct {
	Kernel  string    `json:"kernel"` // uname -r
	Path    string    `json:"boot_path"`
	Boot    float64   `json:"boot_seconds"` // from power-on to the guest's init, the median of all
	Entries uint64    `json:"entries"`      // in the list of the first boot
	Verdict []float64 `json:"execve_to_verdict_ms"`
	Channel float64   `json:"marker_round_trip_ms"` // what a marker may be late, and more
	Result  string    `json:"result"`
	Notes   []string  `json:"notes"` // what was found

	boots []time.Duration
}

// chapters are the story, in order. Each begins where the one before it ended.
var chapters = []struct {
	title string
	tell  func(*story) error
}{
	{"the first boot, and the agent joins", (*story).join},
	{"a policy of its list; enrolled, trusted", (*story).enrol},
	{"programs that the policy does not list", (*story).strangers},
	{"a reboot", (*story).again},
	{"suspend to RAM", (*story).suspend},
	{"another kernel command line", (*story).otherCommandLine},
	{"a boot without IMA", (*story).noIMA},
	{"a boot with IMA and without an IMA policy", (*story).noPolicy},
	{"a boot without IMA that shows an old list", (*story).forged},
	{"a snapshot of the TPM restored", (*story).rollback},
	{"a clone", (*story).clone},

	// The figures.
	{"looked at by the timer alone, and woken by the kernel", (*story).wakings},
	{"a minute in which nothing happens", (*story).quiet},
	{"a list of 20,000 entries more", (*story).large},
	{"the IMA policy that is shipped", (*story).shipped},
}

// storyEnds is how many chapters tell the story; the others, with the first two, are
// the figures.
const storyEnds = 11

// tell tells it in a new directory. What it found is in the row also if it fails.
func (s *story) tell() (err error) {
	defer func() {
		err = errors.Join(err, s.machine.off())
		if s.site != nil {
			err = errors.Join(err, s.site.close())
		}
	}()
	if err := swtpm.Create(s.ctx, s.file(tpmDir), []pcr.Bank{pcr.SHA1, pcr.SHA256}); err != nil {
		return err
	}
	host := filepath.Join(s.dir, "host")
	if err := os.Mkdir(host, 0o700); err != nil {
		return err
	}
	if s.site, err = openSite(s.ctx, host, s.bin, s.file(tpmDir)); err != nil {
		return err
	}
	for i, c := range chapters {
		if !slices.Contains(s.told, i+1) {
			continue
		}
		fmt.Fprintf(s.out, "  %d. %s\n", i+1, c.title)
		began := time.Now()
		if err := c.tell(s); err != nil {
			return fmt.Errorf("%s: %w", c.title, err)
		}
		fmt.Fprintf(s.out, "     %.1f s\n", time.Since(began).Seconds())
	}
	return nil
}

// note says what was found.
func (s *story) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.row.Notes = append(s.row.Notes, text)
	fmt.Fprintf(s.out, "     ✓ %s\n", text)
}

// boot switches the machine on with options.
func (s *story) boot(options string) error {
	took, err := s.on(s.ctx, options)
	if err == nil {
		s.row.boots = append(s.row.boots, took)
	}
	return err
}

// attest starts the agent as its unit does.
func (s *story) attest(env ...string) error {
	answer, err := s.do(s.ctx, control.Request{Do: control.Start, Args: []string{agentProgram, "run"}, Env: env})
	s.pid = answer.PID
	return err
}

// join boots for the first time and registers.
func (s *story) join() error {
	if err := s.boot(measuring); err != nil {
		return err
	}
	s.row.Kernel = s.hello.Kernel
	token, err := s.tenant(s.ctx, "join-token", "create")
	if err != nil {
		return err
	}
	if _, err := s.run(s.ctx, token, agentProgram, "join"); err != nil {
		return err
	}
	out, err := s.run(s.ctx, nil, agentProgram, "id", "--json")
	if err != nil {
		return err
	}
	var id struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(out, &id); err != nil {
		return err
	}
	s.id = id.ID
	s.note("Linux %s registered: its EK certificate chains to the CA of the TPM's maker, which the registrar requires", s.hello.Kernel)
	return s.attest()
}

// settled bounds the way from a change in the guest to its verdict, the agent's return
// after a boot included, on a busy machine.
const settled = 2 * time.Minute

func (s *story) enrol() error {
	time.Sleep(time.Second) // for the agent to have read what it reads
	var err error
	if s.good, err = s.read(s.ctx, kernelList); err != nil {
		return err
	}
	list := filepath.Join(s.site.dir, "good.list")
	if err := os.WriteFile(list, s.good, 0o600); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"policy", "create", "--from-list", list, "-o", "guest.json"}, {"policy", "add", "guest", "guest.json"}, {"agent", "add", s.id, "--policy", "guest"},
	} {
		if _, err := s.tenant(s.ctx, args...); err != nil {
			return err
		}
	}
	a, err := s.until(s.ctx, s.id, "trust", settled, trusted)
	if err != nil {
		return err
	}
	if err := s.refer(); err != nil {
		return err
	}
	s.row.Entries = a.Epoch.Entries
	s.note("trusted: %d entries; boot policy: %s", a.Epoch.Entries, a.Policies.Boot)
	if a.Policies.Boot != wire.NotEvaluated {
		return fmt.Errorf("the boot policy is %q, and nobody made one", a.Policies.Boot)
	}
	return nil
}

const kernelList = "/sys/kernel/security/ima/binary_runtime_measurements"

func trusted(a rest.Agent) bool { return a.Trust == wire.Trusted }

// has reports whether a failure stands.
func has(a rest.Agent, id wire.FailureID) bool {
	return slices.ContainsFunc(a.Failures, func(f wire.Failure) bool { return f.ID == id })
}

// strangers runs each, and measures the time from its execve to the verdict. Both ends
// are on the host's clock: the process that is about to call execve has written a marker
// to the serial port.
func (s *story) strangers() error {
	if err := s.channel(); err != nil {
		return err
	}
	var err error
	if s.row.Verdict, err = s.verdicts(0); err != nil {
		return err
	}
	s.note("untrusted, each with its path: execve to verdict %s ms (median %.0f); a marker takes less than %.1f ms",
		list(s.row.Verdict), median(s.row.Verdict), s.row.Channel)
	return s.forgive()
}

// verdicts runs strangers from one on, and returns the times from execve to verdict in
// milliseconds.
func (s *story) verdicts(from int) (all []float64, err error) {
	for i := range strangers {
		took, err := s.stranger(stranger(from + i))
		if err != nil {
			return all, err
		}
		all = append(all, milliseconds(took))
	}
	return all, nil
}

func (s *story) stranger(path string) (time.Duration, error) {
	type verdict struct {
		agent rest.Agent
		at    time.Time
		err   error
	}
	seen := make(chan verdict, 1)
	go func() {
		a, err := s.until(s.ctx, s.id, "the verdict about "+path, settled, func(a rest.Agent) bool {
			return a.Trust == wire.Untrusted && slices.ContainsFunc(a.Failures, func(f wire.Failure) bool {
				return f.ID == wire.IMANotInPolicy && f.Path == path
			})
		})
		seen <- verdict{a, time.Now(), err}
	}()
	time.Sleep(700 * time.Millisecond) // a quiet machine is looked at seldom; it is quiet again
	answer, marked, err := s.line.ask(s.ctx, control.Request{Do: control.Exec, Args: []string{path}})
	if err != nil {
		return 0, s.explained(err)
	}
	if answer.Exit != 0 || marked.IsZero() || string(answer.Out) != path+" ran\n" {
		return 0, fmt.Errorf("%s in the guest: exit code %d, %q, %q", path, answer.Exit, answer.Out, answer.Err)
	}
	v := <-seen
	return v.at.Sub(marked), v.err
}

// channel measures what there and back over the serial port takes: half of that, about,
// is how late a marker is.
func (s *story) channel() error {
	var trips []float64
	for range 20 {
		began := time.Now()
		if _, err := s.do(s.ctx, control.Request{Do: control.Ping}); err != nil {
			return err
		}
		trips = append(trips, milliseconds(time.Since(began)))
	}
	s.row.Channel = median(trips)
	return nil
}

// clear takes away what the operator has seen.
func (s *story) clear() error {
	_, err := s.tenant(s.ctx, "agent", "clear", "--yes", s.id)
	return err
}

// forgive clears, and waits for trust.
func (s *story) forgive() error {
	if err := s.clear(); err != nil {
		return err
	}
	_, err := s.until(s.ctx, s.id, "trust after the failures were cleared", settled, trusted)
	return err
}

// again reboots the guest while QEMU runs, as a machine that stays on.
func (s *story) again() error {
	before, err := s.verifier.Agent(s.ctx, s.id)
	if err != nil {
		return err
	}
	took, err := s.machine.reboot(s.ctx)
	if err != nil {
		return err
	}
	s.row.boots = append(s.row.boots, took)
	if err := s.attest(); err != nil {
		return err
	}
	a, err := s.until(s.ctx, s.id, "trust in the new epoch", settled, func(a rest.Agent) bool { return trusted(a) && a.Epoch.ID != before.Epoch.ID })
	if err != nil {
		return err
	}
	if a.Epoch.ResetCount != before.Epoch.ResetCount+1 || a.Epoch.Entries == 0 || a.EnrolledAt != before.EnrolledAt {
		return fmt.Errorf("after boot %d: %s", before.Epoch.ResetCount, words(a))
	}
	s.note("resetCount %d → %d: a new epoch, a full list of %d entries, trusted without enrolling again", before.Epoch.ResetCount, a.Epoch.ResetCount, a.Epoch.Entries)
	return nil
}
