// Package daemon is what the programs' mains have in common: version, logger, how
// an error becomes words, a hint and an exit code, and for the two servers flags,
// configuration, signals and shutdown.
package daemon

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"

	"quicklime/wire"
	"quicklime/wire/conf"
)

// Version is what --version prints. The build sets it.
var Version = "devel"

// Software is what peers are told of Version: as much as they take
// (wire.MaxVersion bytes), with question marks for what is not printable. A peer
// refuses a message with anything else.
func Software() string {
	var b strings.Builder
	for _, r := range Version {
		if !unicode.IsPrint(r) {
			r = '?'
		}
		if b.Len()+utf8.RuneLen(r) > wire.MaxVersion {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Exit codes of every program.
const (
	ExitDone   = 0
	ExitFailed = 1
	ExitUsage  = 2
)

// Logger logs text for a person at a terminal and JSON for a journal. It says
// more if QUICKLIME_DEBUG is 1 or true in the environment.
func Logger(w io.Writer) *slog.Logger {
	opts := slog.HandlerOptions{ReplaceAttr: readable}
	if debug, _ := strconv.ParseBool(os.Getenv("QUICKLIME_DEBUG")); debug {
		opts.Level = slog.LevelDebug
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return slog.New(slog.NewTextHandler(w, &opts))
	}
	return slog.New(slog.NewJSONHandler(w, &opts))
}

// readable writes a duration with its unit, in JSON too.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// Server is a program that runs until it is told to stop.
type Server[C any] struct {
	Component string // "verifier": the program is quicklime-verifier, its file verifier.toml
	About     string // what it does, for --help
	Config    C      // the defaults
	Run       func(context.Context, C, *slog.Logger) error
	Commands  []Command[C]
}

// Command is something that a server's program does instead of running, once.
type Command[C any] struct {
	Name  string
	About string // one line, for --help
	Run   func(ctx context.Context, cfg C, stdout io.Writer) error
}

const usage = `Usage: %s [--config DIR]%s

%s It runs until it is told to stop (SIGINT, SIGTERM).

  --config DIR   read %s.toml and %[4]s.toml.d from DIR (default %s)
  --version      say which version this is
%s
Exit codes: 0 done, 1 failed, 2 usage.
`

// Main is the server's main. It returns the exit code.
func (s Server[C]) Main(args []string, stdout, stderr io.Writer) int {
	name := "quicklime-" + s.Component
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are told below
	dirs := conf.DefaultDirs
	flags.StringVar(&dirs.System, "config", dirs.System, "")
	version := flags.Bool("version", false, "")
	command, err := s.parse(flags, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		s.help(stdout, name)
		return ExitDone
	case err != nil:
		Complain(stderr, name, WithHint(err, "see \"%s --help\"", name))
		return ExitUsage
	case *version:
		fmt.Fprintln(stdout, name, "version", Version)
		return ExitDone
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if command != nil {
		err = s.once(ctx, *command, dirs, stdout)
	} else {
		err = s.run(ctx, dirs, stderr)
	}
	if err != nil {
		Complain(stderr, name, err)
		return ExitFailed
	}
	return ExitDone
}

// parse reads flags, and the command's name before, between or behind them.
func (s Server[C]) parse(flags *flag.FlagSet, args []string) (command *Command[C], err error) {
	for {
		if err := flags.Parse(args); err != nil || flags.NArg() == 0 {
			return command, err
		}
		i := slices.IndexFunc(s.Commands, func(c Command[C]) bool { return c.Name == flags.Arg(0) })
		if i < 0 || command != nil {
			return nil, fmt.Errorf("it takes no argument %q", flags.Arg(0))
		}
		command, args = &s.Commands[i], flags.Args()[1:]
	}
}

func (s Server[C]) help(stdout io.Writer, name string) {
	var argument, list string
	if len(s.Commands) > 0 {
		argument, list = " [COMMAND]", "\nWith a command it does that alone, once:\n\n"
	}
	for _, c := range s.Commands {
		list += "  " + c.Name + "\n      " + c.About + "\n"
	}
	fmt.Fprintf(stdout, usage, name, argument, s.About, s.Component, conf.DefaultDirs.System, list)
}

// once does what a command does.
func (s Server[C]) once(ctx context.Context, c Command[C], dirs conf.Dirs, stdout io.Writer) error {
	if err := conf.Load(s.Component, dirs, os.Environ(), &s.Config); err != nil {
		return err
	}
	return c.Run(ctx, s.Config, stdout)
}

func (s Server[C]) run(ctx context.Context, dirs conf.Dirs, stderr io.Writer) error {
	if err := conf.Load(s.Component, dirs, os.Environ(), &s.Config); err != nil {
		return err
	}
	if err := ChooseSHA256(); err != nil {
		return err
	}
	log := Logger(stderr)
	log.Info("quicklime-"+s.Component, "version", Version)
	return s.Run(ctx, s.Config, log)
}
