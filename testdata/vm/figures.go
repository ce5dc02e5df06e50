package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"quicklime/testdata/vm/control"
	"quicklime/wire"
	"quicklime/wire/rest"
)

// attestAs has the agent run anew with another environment, and waits until the machine
// is trusted by evidence of that.
func (s *story) attestAs(env ...string) error {
	if _, err := s.do(s.ctx, control.Request{Do: control.Stop}); err != nil {
		return err
	}
	before, err := s.verifier.Agent(s.ctx, s.id)
	if err != nil {
		return err
	}
	if err := s.attest(env...); err != nil {
		return err
	}
	_, err = s.until(s.ctx, s.id, "trust after the agent was started again", settled, func(a rest.Agent) bool { return a.Revision > before.Revision && trusted(a) && a.Connected })
	return err
}

// debug has the agent say how long each step of an evidence took.
const debug = "QUICKLIME_DEBUG=1"

// wakings measures the time from execve to verdict with the timer alone and with the
// kernel's event, and beside it how long the TPM's quote takes in the guest.
func (s *story) wakings() error {
	for i, how := range []struct{ name, perf string }{{"timer alone", "off"}, {"kernel event", "require"}} {
		if err := s.attestAs(debug, "QUICKLIME_AGENT_WATCH_PERF="+how.perf); err != nil {
			return err
		}
		said, err := s.console()
		if err != nil {
			return err
		}
		took, err := s.verdicts((1 + i) * strangers)
		if err != nil {
			return err
		}
		quotes, tpm, err := s.quotes(len(said), strangers)
		if err != nil {
			return err
		}
		s.note("%s: execve to verdict %s ms (median %.0f), of which from the agent's notice to its quote, reading and hashing included, %s ms (median %.0f); the TPM's own quote %s ms (median %.0f)",
			how.name, list(took), median(took), list(quotes), median(quotes), list(tpm), median(tpm))
		if err := s.forgive(); err != nil {
			return err
		}
	}
	return nil
}

// telling is how long the agent may take to say on the console what it has done.
const telling = 20 * time.Second

// quotes waits until the agent has told of n quotes of growth, in what the console says
// after its first bytes. It does after the verdict, which the verifier has before it.
func (s *story) quotes(after, n int) (quotes, tpm []float64, err error) {
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		said, err := s.console()
		if err != nil {
			return nil, nil, err
		}
		if quotes, tpm = quoteTimes(said[after:]); len(quotes) >= n {
			return quotes, tpm, nil
		}
		if time.Since(began) > telling {
			return nil, nil, fmt.Errorf("the agent told of %d quotes of growth in %v, there were %d programs", len(quotes), telling, n)
		}
		if err := s.ctx.Err(); err != nil {
			return nil, nil, err
		}
	}
}

func (s *story) console() ([]byte, error) { return os.ReadFile(s.file(consoleFile)) }

var quoteTime = regexp.MustCompile(`evidence was answered"? .*trigger=growth .*quote=([0-9.]+[a-zµ]+) tpm=([0-9.]+[a-zµ]+)`)

// quoteTimes are what the agent's log says of evidence of growth, in milliseconds: until
// a quote was there, and what the TPM took of that.
func quoteTimes(log []byte) (quotes, tpm []float64) {
	for _, m := range quoteTime.FindAllSubmatch(log, -1) {
		whole, err := time.ParseDuration(string(m[1]))
		part, err2 := time.ParseDuration(string(m[2]))
		if err == nil && err2 == nil {
			quotes, tpm = append(quotes, milliseconds(whole)), append(tpm, milliseconds(part))
		}
	}
	return quotes, tpm
}

// quiet measures the agent's processor time while nothing is measured.
func (s *story) quiet() error {
	for _, how := range []struct{ name, perf string }{{"timer alone", "off"}, {"kernel event", "require"}} {
		if err := s.attestAs("QUICKLIME_AGENT_WATCH_PERF=" + how.perf); err != nil {
			return err
		}
		time.Sleep(15 * time.Second) // for the looks after the start to have become seldom
		before, err := s.processorTime()
		if err != nil {
			return err
		}
		began := time.Now()
		select {
		case <-time.After(time.Minute):
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
		after, err := s.processorTime()
		if err != nil {
			return err
		}
		s.note("%s: %v of processor time in a minute, %.2f %% of the emulated core; challenges are answered in it", how.name,
			after-before, 100*(after-before).Seconds()/time.Since(began).Seconds())
	}
	return nil
}

// processorTime is what the agent has used, to a hundredth of a second (proc(5),
// /proc/pid/stat, utime and stime).
func (s *story) processorTime() (time.Duration, error) {
	stat, err := s.read(s.ctx, fmt.Sprintf("/proc/%d/stat", s.pid))
	if err != nil {
		return 0, err
	}
	_, behind, _ := strings.Cut(string(stat), ") ") // the name, which may hold anything
	fields := strings.Fields(behind)
	var ticks int
	for _, i := range []int{14 - 3, 15 - 3} {
		n, err := strconv.Atoi(fields[i])
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// many is how many files are measured, so many for each request: some seconds.
const many, atOnce = 20_000, 500

// large has many files measured, and looks at the agent's memory when the verifier has
// them all, and when another agent has read and sent the whole list.
func (s *story) large() error {
	if err := s.attestAs(); err != nil {
		return err
	}
	before, err := s.verifier.Agent(s.ctx, s.id)
	if err != nil {
		return err
	}
	began := time.Now()
	for i := range many / atOnce {
		if _, err := s.do(s.ctx, control.Request{Do: control.Fill, Path: fmt.Sprintf("/var-%d", i), Count: atOnce}); err != nil {
			return err
		}
	}
	filled := time.Since(began)
	there := func(a rest.Agent) bool { return a.Epoch.Entries >= before.Epoch.Entries+many }
	if _, err := s.until(s.ctx, s.id, fmt.Sprintf("a list of %d entries", many), 5*time.Minute, there); err != nil {
		return err
	}
	s.note("%d files in %.0f s, the last judged %.1f s later; the agent has %s", many, filled.Seconds(), (time.Since(began) - filled).Seconds(), s.memory())
	if err := s.attestAgain(); err != nil {
		return err
	}
	s.note("started again, the whole list read and replayed anew: %s", s.memory())
	return nil
}

// attestAgain starts the agent again, and waits until it has sent evidence.
func (s *story) attestAgain() error {
	if _, err := s.do(s.ctx, control.Request{Do: control.Stop}); err != nil {
		return err
	}
	if err := s.attest(); err != nil {
		return err
	}
	_, err := s.until(s.ctx, s.id, "the agent's return", 5*time.Minute, func(a rest.Agent) bool { return a.Connected && a.Trust != wire.Stale && a.Trust != wire.Pending })
	time.Sleep(5 * time.Second)
	return err
}

// memory says what the agent holds (proc(5), /proc/pid/status).
func (s *story) memory() string {
	status, err := s.read(s.ctx, fmt.Sprintf("/proc/%d/status", s.pid))
	if err != nil {
		return err.Error()
	}
	mib := func(name string) float64 {
		_, after, _ := strings.Cut(string(status), name+":")
		var kib float64
		fmt.Sscan(after, &kib)
		return kib / 1024
	}
	return fmt.Sprintf("%.1f MiB resident (%.1f at most): %.1f of the program's file, %.1f of its own", mib("VmRSS"), mib("VmHWM"), mib("RssFile"), mib("RssAnon"))
}

const kernelCount = "/sys/kernel/security/ima/runtime_measurements_count"

// shipped boots without a policy, loads the one of packaging, and has doctor look.
func (s *story) shipped() error {
	text, err := os.ReadFile("packaging/ima-policy")
	if err != nil {
		return err
	}
	for _, how := range []struct {
		name, options string
		load          bool
	}{{"ima_policy=tcb", measuring, false}, {"packaging/ima-policy", "", true}} {
		if err := s.off(); err != nil {
			return err
		}
		if err := s.boot(how.options); err != nil {
			return err
		}
		if how.load {
			for _, path := range []string{"/etc/ima/ima-policy", "/sys/kernel/security/ima/policy"} {
				if _, err := s.do(s.ctx, control.Request{Do: control.Write, Path: path, Input: text}); err != nil {
					return err
				}
			}
		}
		answer, err := s.do(s.ctx, control.Request{Do: control.Run, Args: []string{agentProgram, "doctor", "--json"}})
		if err != nil {
			return err
		}
		var report struct {
			Findings []struct{ Check, State, Seen string }
		}
		if err := json.Unmarshal(answer.Out, &report); err != nil {
			return fmt.Errorf("doctor: %w: %s%s", err, answer.Out, answer.Err)
		}
		var lacking []string
		for _, f := range report.Findings {
			if f.State == "lacking" {
				lacking = append(lacking, f.Check)
			}
		}
		measured, err := s.read(s.ctx, kernelCount)
		if err != nil {
			return err
		}
		if how.load != (len(lacking) == 0) {
			return fmt.Errorf("under %s doctor finds this lacking: %v\n%s", how.name, lacking, answer.Out)
		}
		s.note("%s: %s measurements; doctor finds lacking: %s", how.name, strings.TrimSpace(string(measured)), cmp.Or(strings.Join(lacking, ", "), "nothing"))
	}
	return nil
}
