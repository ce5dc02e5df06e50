package payload

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quicklime/wire/payload"
)

// runner is one of what the agent asked for.
func (f *fixture) runner(allowed Allowed) Runner {
	return Runner{Dir: f.keeper.cfg.Dir, Allowed: allowed, Timeout: 10 * time.Second, Log: f.keeper.cfg.Log, Now: func() time.Time { return now }}
}

// told has the keeper look for results, and returns the receipt that it says.
func (f *fixture) told(s sent) payload.Outcome {
	f.t.Helper()
	f.said = nil
	f.keeper.results()
	return f.outcome(s)
}

func script(text string) entry {
	e := file("autorun.sh", "#!/bin/sh\n"+text)
	e.Mode = 0o755
	return e
}

func TestRun(t *testing.T) {
	f := newFixture(t)
	f.keeper.cfg.Run = "*/autorun.sh"
	s := f.send(7, payload.Archive, tarOf(t, script(`echo "$QUICKLIME_PAYLOAD $QUICKLIME_PAYLOAD_VERSION $(pwd)"; cat key; echo no >&2; exit 3`), file("key", "hunter2\n")))
	if o := f.deliver(s); o.Run != nil {
		t.Errorf("%+v", o)
	}
	f.said = nil
	f.keeper.results() // nothing has run yet
	if len(f.said) > 0 {
		t.Errorf("said %v", f.said)
	}
	if err := f.runner("*/autorun.sh").RunAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	o := f.told(s)
	want := "db 7 " + filepath.Join(f.keeper.cfg.Dir, "db") + "\nhunter2\nno\n"
	if o.Run == nil || o.Run.Exit != 3 || string(o.Run.Output) != want || o.Run.Cut || o.Run.At != uint64(now.Unix()) || o.State != payload.Stored || o.Files != 2 {
		t.Errorf("%+v, want output %q", o, want)
	}
	f.restart()
	f.offer(s)
	if o := f.outcome(s); o.Run == nil || o.Run.Exit != 3 {
		t.Errorf("after a restart: %+v", o)
	}
	if err := f.runner("*/autorun.sh").RunAll(t.Context()); err != nil { // once
		t.Fatal(err)
	}
	f.said = nil
	if f.keeper.results(); len(f.said) > 0 {
		t.Errorf("it ran again: %v", f.said)
	}
}

func TestI02_RunsOnlyWhatIsAllowed(t *testing.T) {
	for name, c := range map[string]struct {
		agent, runner Allowed // whom the administrator's word reaches
		file          string
		runs          bool
	}{
		"allowed":               {"*/autorun.sh", "*/autorun.sh", "autorun.sh", true},
		"allowed by name":       {"db/autorun.sh other/x", "db/autorun.sh", "autorun.sh", true},
		"nothing is":            {"", "", "autorun.sh", false},
		"another payload's":     {"other/autorun.sh", "other/autorun.sh", "autorun.sh", false},
		"another file":          {"*/other.sh", "*/other.sh", "autorun.sh", false},
		"the runner knows none": {"*/autorun.sh", "", "autorun.sh", false},
		"the agent has its own": {"*/autorun.sh", "*/other.sh", "autorun.sh", false},
	} {
		f := newFixture(t)
		f.keeper.cfg.Run = c.agent
		marker := filepath.Join(memory(t), "ran")
		f.deliver(f.send(1, payload.Archive, tarOf(t, script("touch "+marker))))
		err := f.runner(c.runner).RunAll(t.Context())
		if _, e := os.Stat(marker); (e == nil) != c.runs {
			t.Errorf("%s: ran: %v (%v)", name, e == nil, err)
		}
		if left, err := os.ReadDir(filepath.Join(f.keeper.cfg.Dir, runDir)); err != nil || len(left) > 0 {
			t.Errorf("%s: requests stay: %v, %v", name, left, err)
		}
	}
	for _, a := range []Allowed{"autorun.sh", "/autorun.sh", "*/../x", "*//x", "*/", "*/.", "-x/y", "a/b c"} {
		if a.Check() == nil {
			t.Errorf("%q is taken", a)
		}
	}
}

// What the agent writes is the agent's word.
func TestI02_ForgedRequests(t *testing.T) {
	f := newFixture(t)
	f.deliver(f.send(1, payload.Archive, tarOf(t, script("true"))))
	for name, q := range map[string]any{
		"db.json":    request{"db", 1, "../../../../bin/true"},
		"other.json": request{"db", 1, "autorun.sh"},
		"x.json":     request{"../x", 1, "autorun.sh"},
		"y.json":     "no request",
		"gone.json":  request{"gone", 1, "autorun.sh"},
	} {
		b, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(f.keeper.cfg.Dir, runDir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
		err = f.runner("*/autorun.sh").RunAll(t.Context())
		if (err == nil) != (name == "gone.json") { // that one is allowed, and is not there
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Symlink("/etc/hostname", filepath.Join(f.keeper.cfg.Dir, runDir, "z.json")); err != nil {
		t.Fatal(err)
	}
	if err := f.runner("*/autorun.sh").RunAll(t.Context()); err == nil {
		t.Error("a link out of the directory is followed")
	}
}

// Whatever there is in the place of requests is gone afterwards: systemd starts the runner
// as long as there is something.
func TestI02_TheRunnerLeavesNoRequest(t *testing.T) {
	f := newFixture(t)
	dir := filepath.Join(f.keeper.cfg.Dir, runDir)
	for _, d := range []string{"directory/deep", "directory.json/deep"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"link.json": "/etc/hostname", "link": "/etc/hostname", "dangling.json": "nowhere"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "text"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.runner("*/autorun.sh").RunAll(t.Context()); err == nil {
		t.Error("nothing is said of what is no request")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
	if _, err := os.Stat("/etc/hostname"); err != nil {
		t.Errorf("a link was followed: %v", err)
	}
}

// A request that it may not remove ends it, and is not tried for ever.
func TestI04_ARequestThatStaysEndsTheRunner(t *testing.T) {
	f, _ := newUnprivileged(t, "true")
	stays := filepath.Join(f.keeper.cfg.Dir, runDir, "stays")
	if err := os.MkdirAll(filepath.Join(stays, "of-root"), 0o755); err != nil {
		t.Fatal(err)
	}
	asAgent(t, func() {
		if err := f.runner("*/autorun.sh").RunAll(t.Context()); !errors.Is(err, errStays) {
			t.Error(err)
		}
	})
}

// What is asked for while a program runs is run as well.
func TestRunWhatComesMeanwhile(t *testing.T) {
	f := newFixture(t)
	f.keeper.cfg.Run = "*/autorun.sh"
	f.deliver(f.send(1, payload.Archive, tarOf(t, script(`echo ran >> runs; while [ ! -e go ]; do sleep 0.01; done`))))
	done := make(chan error, 1)
	go func() { done <- f.runner("*/autorun.sh").RunAll(t.Context()) }()
	runs, file := filepath.Join(f.keeper.cfg.Dir, "db", "runs"), filepath.Join(f.keeper.cfg.Dir, "db", "go")
	for late := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if b, err := os.ReadFile(runs); err == nil && len(b) > 0 {
			break
		}
		if time.Now().After(late) {
			t.Fatal("it is not run")
		}
	}
	f.keeper.request("db", 1)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	f.holds("db/runs", "ran\nran\n")
}

func TestI04_RunsHaveLimits(t *testing.T) {
	f := newFixture(t)
	f.keeper.cfg.Run = "*/autorun.sh"
	s := f.send(1, payload.Archive, tarOf(t, script(`i=0; while [ $i -lt 3000 ]; do echo "line $i"; i=$((i+1)); done`)))
	f.deliver(s)
	if err := f.runner("*/autorun.sh").RunAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o := f.told(s); o.Run.Exit != 0 || !o.Run.Cut || len(o.Run.Output) != payload.MaxOutput || !strings.HasSuffix(string(o.Run.Output), "line 2999\n") {
		t.Errorf("%d bytes, %+v", len(o.Run.Output), o.Run)
	}

	// It is killed with what it has started, which would hold its output open.
	s = f.send(2, payload.Archive, tarOf(t, script(`sleep 1000 & echo $!; sleep 1000`)))
	f.deliver(s)
	r := f.runner("*/autorun.sh")
	r.Timeout = 300 * time.Millisecond
	if err := r.RunAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	o := f.told(s)
	pid, rest, _ := strings.Cut(string(o.Run.Output), "\n")
	if o.Run.Exit != -1 || !strings.Contains(rest, "killed") {
		t.Errorf("%+v %q", o.Run, o.Run.Output)
	}
	for range 100 {
		state, err := os.ReadFile("/proc/" + pid + "/stat")
		if errors.Is(err, os.ErrNotExist) || strings.Contains(string(state), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %s lives on", pid)
}

func TestRunWhatCannotRun(t *testing.T) {
	for name, c := range map[string]struct {
		entry entry
		want  string
	}{
		"no program":       {file("autorun.sh", "echo"), "neither a script nor executable"},
		"no interpreter":   {file("autorun.sh", "#!/no/such/thing\n"), "no such file"},
		"a directory":      {directory("autorun.sh"), "no file"},
		"nothing after #!": {file("autorun.sh", "#!"), "neither a script nor executable"},
	} {
		f := newFixture(t)
		f.keeper.cfg.Run = "*/autorun.sh"
		s := f.send(1, payload.Archive, tarOf(t, c.entry))
		f.deliver(s)
		if err := f.runner("*/autorun.sh").RunAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if o := f.told(s); o.Run.Exit != 126 || !strings.Contains(string(o.Run.Output), c.want) {
			t.Errorf("%s: %+v %q", name, o.Run, o.Run.Output)
		}
	}
}

// What was withdrawn or replaced meanwhile has no result.
func TestResultOfAnotherVersion(t *testing.T) {
	f := newFixture(t)
	f.keeper.cfg.Run = "*/autorun.sh"
	s := f.send(1, payload.Archive, tarOf(t, script("true")))
	f.deliver(s)
	if err := f.runner("*/autorun.sh").RunAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.keeper.cfg.Run = ""
	f.deliver(f.send(2, payload.Archive, tarOf(t, script("false"))))
	f.said = nil
	if f.keeper.results(); len(f.said) > 0 {
		t.Errorf("said %v", f.said)
	}
	if left, err := os.ReadDir(filepath.Join(f.keeper.cfg.Dir, resultsDir)); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
	if err := os.WriteFile(filepath.Join(f.keeper.cfg.Dir, resultsDir, "db.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if f.keeper.results(); len(f.said) > 0 {
		t.Errorf("said %v", f.said)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	f := newFixture(t)
	f.keeper.cfg.Run = "*/autorun.sh"
	f.deliver(f.send(1, payload.Archive, tarOf(t, script("sleep 1000"))))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := f.runner("*/autorun.sh").RunAll(ctx); err != nil {
		t.Error(err)
	}
}

func TestI04_TailKeepsTheEnd(t *testing.T) {
	out := &tail{}
	for range 100 {
		out.Write([]byte(strings.Repeat("a", 100)))
	}
	out.Write([]byte("end"))
	if len(out.b) != payload.MaxOutput || !out.cut || !strings.HasSuffix(string(out.b), "aend") {
		t.Errorf("%d bytes, cut: %v", len(out.b), out.cut)
	}
}
