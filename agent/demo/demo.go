// Package demo tells the story of Quicklime for a person who watches: a machine
// joins, is trusted, runs a file it should not, is judged again, outlives a crash
// of the verifier, and reboots. It runs the real programs, as an operator would,
// on a software TPM in the state of a captured machine, and checks each step by
// what the programs say. Everything it makes is in one folder.
package demo

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"text/tabwriter"
	"time"
)

// limit bounds the whole story.
const limit = 2 * time.Minute

// Main tells the story and returns 0 if every step was true.
func Main(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("quicklime-demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	bin := flags.String("bin", "bin", "`DIR` with the programs")
	dir := flags.String("dir", ".demo", "`DIR` for everything the demo makes")
	capture := flags.String("capture", "testdata/captures/bench-20k-tpm", "`DIR` with the captured machine")
	keep := flags.Bool("keep", false, "leave the folder, with every log, behind")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "quicklime-demo: it takes no argument %q\n", flags.Arg(0))
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := tell(ctx, stdout, *bin, *dir, *capture, *keep); err != nil {
		fmt.Fprintf(stderr, "quicklime-demo: %v\n", err)
		return 1
	}
	return 0
}

// chapters are the story, in order.
var chapters = []struct {
	title string
	tell  func(*stage) error
}{
	{"Registrar and verifier start: SQLite inside, a CA made at first start", (*stage).servers},
	{"A machine boots: a software TPM in the state of a captured one", (*stage).boot},
	{"The machine joins: its TPM proves itself to the registrar", (*stage).join},
	{"A runtime policy from its own list; the machine is enrolled, and trusted", (*stage).enrol},
	{"Files that the policy does not allow are measured", (*stage).tamper},
	{"The policy is extended: trusted again, without asking the machine", (*stage).extend},
	{"The verifier is killed and started again: the agent goes on where it was", (*stage).crash},
	{"The machine reboots: a new epoch, a full list, judged again", (*stage).reboot},
}

// tell tells the story in a new folder, which it removes again.
func tell(ctx context.Context, out io.Writer, bin, dir, capture string, keep bool) (err error) {
	runtime.LockOSThread() // a program's Pdeathsig is of the thread that started it
	s, err := newStage(ctx, out, bin, dir, capture)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, s.end())
		switch {
		case errors.Is(ctx.Err(), context.Canceled):
			err = errors.Join(errors.New("interrupted"), os.RemoveAll(s.dir))
		case err != nil || keep:
			fmt.Fprintf(out, "\nThe folder with all logs is %s\n", s.dir)
		default:
			err = os.RemoveAll(s.dir)
		}
	}()
	s.print("Quicklime: a machine's story, told by its programs\n")
	s.print("The TPM is emulated (swtpm), for development and tests only: an emulator proves nothing about a machine.\n")
	began := time.Now()
	took := make([]time.Duration, 0, len(chapters))
	for i, c := range chapters {
		s.print("\n%d. %s\n\n", i+1, c.title)
		start := time.Now()
		if err := c.tell(s); err != nil {
			return fmt.Errorf("step %d was not true: %w", i+1, err)
		}
		took = append(took, time.Since(start))
		s.print("   — done in %s\n", seconds(took[i]))
	}
	s.print("\n")
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i, c := range chapters {
		fmt.Fprintf(t, "  %d\t%s\t%s\ttrue\n", i+1, c.title, seconds(took[i]))
	}
	t.Flush()
	s.print("\nEvery step was true; the story took %s.\n", seconds(time.Since(began)))
	return nil
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// newStage makes the folder.
func newStage(ctx context.Context, out io.Writer, bin, dir, capture string) (*stage, error) {
	s := &stage{ctx: ctx, out: out}
	for _, p := range []struct {
		from string
		to   *string
	}{{bin, &s.bin}, {dir, &s.dir}, {capture, &s.capture}} {
		abs, err := filepath.Abs(p.from)
		if err != nil {
			return nil, err
		}
		*p.to = abs
	}
	if err := s.empty(); err != nil {
		return nil, err
	}
	for _, sub := range []string{"etc", "files", "log"} {
		if err := os.Mkdir(s.path(sub), 0o700); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// marker is in every folder that the demo made.
const marker = "made-by-quicklime-demo"

// empty makes the folder, in the place of one that an earlier telling left.
func (s *stage) empty() error {
	if _, err := os.Stat(s.path(marker)); err == nil {
		if err := os.RemoveAll(s.dir); err != nil {
			return err
		}
	}
	err := os.Mkdir(s.dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w, and the demo did not make it; name another with --dir", err)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(s.path(marker), nil, 0o600)
}
