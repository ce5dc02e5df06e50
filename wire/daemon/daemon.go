// Package daemon is the frame of a server's main: flags, configuration, logger,
// signals, exit code. It alone turns a server's error into words.
package daemon

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"

	"quicklime/wire/conf"
)

// Version is what --version prints and what peers are told; the build sets it.
var Version = "devel"

// Exit codes of every program.
const (
	ExitDone   = 0
	ExitFailed = 1
	ExitUsage  = 2
)

// Main is the main of the server called quicklime-COMPONENT. cfg holds the
// defaults; run gets what configuration and environment made of them. The
// context ends with SIGINT or SIGTERM.
func Main[C any](component string, cfg C, run func(context.Context, C, *slog.Logger) error, args []string, stdout, stderr io.Writer) int {
	program := "quicklime-" + component
	flags := flag.NewFlagSet(program, flag.ContinueOnError)
	flags.SetOutput(stderr)
	dir := flags.String("config", "", "read the configuration from `DIR` instead of "+conf.DefaultDirs.System)
	version := flags.Bool("version", false, "print the version and exit")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return ExitDone
	} else if err != nil {
		return ExitUsage
	}
	if *version {
		fmt.Fprintln(stdout, program, Version)
		return ExitDone
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "%s: unexpected argument %q\nhint: the configuration is in %s.toml\n", program, flags.Arg(0), component)
		return ExitUsage
	}
	dirs := conf.DefaultDirs
	if *dir != "" {
		dirs = conf.Dirs{System: *dir}
	}
	if err := conf.Load(component, dirs, os.Environ(), &cfg); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", program, err)
		return ExitFailed
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, cfg, Logger(stderr)); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", program, err)
		return ExitFailed
	}
	return ExitDone
}

// Logger logs text to a terminal and JSON to anything else.
func Logger(w io.Writer) *slog.Logger {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return slog.New(slog.NewTextHandler(w, nil))
	}
	return slog.New(slog.NewJSONHandler(w, nil))
}

// shutdownTimeout bounds how long requests under way may still take.
const shutdownTimeout = 5 * time.Second

// ServeTLS serves s on l until ctx ends, then lets requests under way finish.
func ServeTLS(ctx context.Context, s *http.Server, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if s.Shutdown(last) != nil {
			s.Close()
		}
	})
	defer stop()
	if err := s.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
