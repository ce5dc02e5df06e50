// Command vm tells the story of Quicklime on real kernels: Debian's, with IMA on and a
// TPM, in QEMU, against registrar and verifier on this machine. What the kernel
// measures, when, and in which order it extends and appends is the kernel's, and so is
// what a reboot, a suspend and another command line do to a TPM.
//
// The TPM is swtpm, for tests only: a software TPM proves nothing about a machine.
//
// usage: vm [--paths NAME,…] [--kernels NAME,…] [--chapters N,… | --figures | --capture DIR] [--json] [--keep] [--bin DIR] [--cache DIR]
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"quicklime/wire/daemon"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// options are what the command line says.
type options struct {
	paths, kernels   []string
	chapters         []int // from 1; the first two are always told
	json, keep       bool
	bin, cache, root string
	capture          string // directory for captures; empty: the story is told
}

func run(args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return daemon.ExitDone
	}
	if err != nil {
		fmt.Fprintf(stderr, "vm: %v\n", err)
		return daemon.ExitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	runtime.LockOSThread()                                                          // see start
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin"); err != nil { // mke2fs is there
		fmt.Fprintf(stderr, "vm: %v\n", err)
		return daemon.ExitFailed
	}
	rows, err := o.tell(ctx, stderr)
	if ctx.Err() != nil {
		fmt.Fprintln(stderr, "vm: interrupted; everything it started has ended, and its files are removed")
		return daemon.ExitFailed
	}
	if o.json {
		err = errors.Join(err, json.NewEncoder(stdout).Encode(rows))
	} else {
		err = errors.Join(err, writeTable(stdout, rows))
	}
	if err != nil {
		daemon.Complain(stderr, "vm", err)
		return daemon.ExitFailed
	}
	return daemon.ExitDone
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return o, err
	}
	flags := flag.NewFlagSet("vm", flag.ContinueOnError)
	flags.SetOutput(stderr)
	paths := flags.String("paths", bootPaths[0].name, "boot paths, with commas between them: "+names(bootPaths, func(p bootPath) string { return p.name }))
	kernels := flags.String("kernels", series[0].name, "kernels: "+names(series, func(s suite) string { return s.name }))
	told := flags.String("chapters", "", "tell only these of the story, by `NUMBERS`, while you work on one: 9,10; the first two always are")
	figures := flags.Bool("figures", false, "measure times, processor time and memory in the guest, in place of the story: some ten minutes")
	flags.StringVar(&o.capture, "capture", "", "boot each machine once, keep what it measured in `DIR`/PATH-KERNEL, and tell no story")
	flags.BoolVar(&o.json, "json", false, "write the results as JSON; progress goes to standard error")
	flags.BoolVar(&o.keep, "keep", false, "leave machines and logs behind also if all held")
	flags.StringVar(&o.bin, "bin", "bin", "`DIR` with the programs")
	flags.StringVar(&o.cache, "cache", filepath.Join(cache, "quicklime-vm"), "`DIR` for what is downloaded, and for the machines")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("it takes no argument %q", flags.Arg(0))
	}
	if o.chapters, err = parseChapters(*told, *figures); err != nil {
		return o, err
	}
	o.paths, o.kernels = strings.Split(*paths, ","), strings.Split(*kernels, ",")
	if o.bin, err = filepath.Abs(o.bin); err != nil {
		return o, err
	}
	o.cache, err = filepath.Abs(o.cache)
	return o, err
}

// parseChapters returns which chapters to tell: the story if nothing is said.
func parseChapters(numbers string, figures bool) (told []int, err error) {
	told = []int{1, 2}
	for i := range chapters {
		if numbers == "" && figures == (i >= storyEnds) {
			told = append(told, i+1)
		}
	}
	if numbers == "" {
		slices.Sort(told)
		return slices.Compact(told), nil
	}
	for word := range strings.SplitSeq(numbers, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > len(chapters) {
			return nil, fmt.Errorf("chapter %q: there are 1 to %d", word, len(chapters))
		}
		told = append(told, n)
	}
	slices.Sort(told)
	return slices.Compact(told), nil
}

func names[T any](all []T, name func(T) string) string {
	var words []string
	for _, one := range all {
		words = append(words, name(one))
	}
	return strings.Join(words, ", ")
}

// tell tells every story that was asked for, also after one of them failed.
func (o options) tell(ctx context.Context, out io.Writer) (rows []row, err error) {
	if err := os.MkdirAll(o.cache, 0o700); err != nil {
		return nil, err
	}
	if o.root, err = os.MkdirTemp(o.cache, "run-"); err != nil {
		return nil, err
	}
	defer func() {
		if err == nil && !o.keep || ctx.Err() != nil {
			err = errors.Join(err, os.RemoveAll(o.root))
			return
		}
		fmt.Fprintf(out, "\nMachines and logs are in %s\n", o.root)
	}()
	for _, k := range o.kernels {
		at := slices.IndexFunc(series, func(s suite) bool { return s.name == k })
		if at < 0 {
			return rows, fmt.Errorf("there is no kernel %q; there are: %s", k, names(series, func(s suite) string { return s.name }))
		}
		fmt.Fprintf(out, "kernel %s: fetching it, and making its initramfs\n", k)
		from, failed := prepareKernel(ctx, o.cache, series[at], filepath.Join(o.bin, "vm", "guest"), filepath.Join(o.root, "initramfs-"+k))
		if failed != nil {
			return rows, errors.Join(err, failed)
		}
		for _, name := range o.paths {
			p := slices.IndexFunc(bootPaths, func(p bootPath) bool { return p.name == name })
			if p < 0 {
				return rows, fmt.Errorf("there is no boot path %q; there are: %s", name, names(bootPaths, func(p bootPath) string { return p.name }))
			}
			r, failed := o.one(ctx, out, from, bootPaths[p])
			rows, err = append(rows, r), errors.Join(err, failed)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return rows, err
}

// held is the result of what held: it says so if that is not the whole story.
func (o options) held() string {
	if len(o.chapters) == storyEnds && o.chapters[storyEnds-1] == storyEnds {
		return "held"
	}
	return strings.Trim(fmt.Sprint("held, of chapters ", o.chapters, " alone"), " ")
}

// one tells the story of one kernel on one path.
func (o options) one(ctx context.Context, out io.Writer, from kernel, p bootPath) (row, error) {
	fmt.Fprintf(out, "kernel %s, %s: %s\n", from.name, p.name, p.title)
	dir := filepath.Join(o.root, from.name+"-"+p.name)
	m := &machine{dir: filepath.Join(dir, "machine"), path: p, from: from}
	s := &story{ctx: ctx, out: out, dir: dir, bin: o.bin, told: o.chapters, machine: m, row: row{Kernel: from.name, Path: p.name, Result: o.held()}}
	err := os.MkdirAll(m.dir, 0o700)
	if err == nil {
		err = makeDisk(ctx, o.bin, filepath.Join(o.bin, "vm", "guest"), m.file(diskFile))
	}
	switch {
	case err != nil:
	case o.capture != "":
		s.row.Result = "captured"
		err = m.capture(ctx, out, filepath.Join(o.capture, p.name+"-"+from.name))
	default:
		err = s.tell()
	}
	s.row.Boot = median(s.row.boots).Seconds()
	if err != nil {
		s.row.Result = "FAILED"
		err = fmt.Errorf("kernel %s, %s: %w", from.name, p.name, err)
	}
	return s.row, err
}
