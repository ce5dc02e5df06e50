package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quicklime/wire"
)

type config struct {
	Listen string `toml:"listen"`
}

func TestServerMain(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		d := filepath.Join(dir, name)
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d, "tester.toml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return d
	}
	good, bad := write("good", "listen = \"here\"\n"), write("bad", "liste = \"here\"\n")
	for _, c := range []struct {
		name   string
		args   []string
		run    error
		code   int
		stdout string
		stderr string
		ran    bool
	}{
		{"runs", []string{"--config", good}, nil, ExitDone, "", "", true},
		{"fails", []string{"--config", good}, errors.New("no luck"), ExitFailed, "", "quicklime-tester: no luck\n", true},
		{"unknown option", []string{"--config", bad}, nil, ExitFailed, "", "tester.toml:1", false},
		{"unknown flag", []string{"--x"}, nil, ExitUsage, "", "hint: see \"quicklime-tester --help\"", false},
		{"argument", []string{"start"}, nil, ExitUsage, "", `no argument "start"`, false},
		{"a command", []string{"--config", good, "greet"}, nil, ExitDone, "hello here\n", "", false},
		{"flags behind a command", []string{"greet", "--config", good}, nil, ExitDone, "hello here\n", "", false},
		{"a command with an argument", []string{"greet", "--config", good, "greet"}, nil, ExitUsage, "", `no argument "greet"`, false},
		{"a command that fails", []string{"fail", "--config", good}, nil, ExitFailed, "", "quicklime-tester: no luck\n", false},
		{"a command with a bad configuration", []string{"greet", "--config", bad}, nil, ExitFailed, "", "tester.toml:1", false},
		{"help names commands", []string{"--help"}, nil, ExitDone, "Usage: quicklime-tester [--config DIR] [COMMAND]", "", false},
		{"help says what commands do", []string{"--help"}, nil, ExitDone, "  greet\n      Say hello.\n", "", false},
		{"help", []string{"--help"}, nil, ExitDone, "tester.toml.d from DIR (default /etc/quicklime)", "", false},
		{"version", []string{"--version"}, nil, ExitDone, "quicklime-tester version devel\n", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			ran := false
			s := Server[config]{Component: "tester", About: "Tests.", Run: func(_ context.Context, cfg config, _ *slog.Logger) error {
				ran = cfg.Listen == "here"
				return c.run
			}, Commands: []Command[config]{
				{"greet", "Say hello.", func(_ context.Context, cfg config, stdout io.Writer) error {
					fmt.Fprintln(stdout, "hello", cfg.Listen)
					return nil
				}},
				{"fail", "Fail.", func(context.Context, config, io.Writer) error { return errors.New("no luck") }},
			}}
			if code := s.Main(c.args, &stdout, &stderr); code != c.code || ran != c.ran {
				t.Errorf("exit code %d, ran %v", code, ran)
			}
			if !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) {
				t.Errorf("stdout %q, stderr %q", &stdout, &stderr)
			}
		})
	}
}

func TestSoftwareIsWhatAPeerTakes(t *testing.T) {
	defer func(v string) { Version = v }(Version)
	full := strings.Repeat("v", wire.MaxVersion)
	for version, want := range map[string]string{
		"v1.2-3-gabcdef-dirty":         "v1.2-3-gabcdef-dirty",
		"":                             "",
		"a\nb\x1b[2J":                  "a?b?[2J",
		"\xff":                         "\ufffd",
		full:                           full,
		full + "v":                     full,
		full[1:] + "ü":                 full[1:],
		full[2:] + "ü":                 full[2:] + "ü",
		strings.Repeat("\xff", 64):     strings.Repeat("\ufffd", 21),
		strings.Repeat("\u200b", 1000): strings.Repeat("?", 64),
	} {
		Version = version
		got := Software()
		if got != want {
			t.Errorf("%q: %q, want %q", version, got, want)
		}
		if err := (wire.Hello{Version: wire.ProtocolVersion, Software: got}).Check(); err != nil {
			t.Errorf("%q: %v", version, err)
		}
	}
}

func TestLogSaysMoreIfAsked(t *testing.T) {
	for debug, want := range map[string]bool{"": false, "1": true} {
		t.Setenv("QUICKLIME_DEBUG", debug)
		if got := Logger(io.Discard).Enabled(t.Context(), slog.LevelDebug); got != want {
			t.Errorf("QUICKLIME_DEBUG=%s: %v", debug, got)
		}
	}
}

func TestLogIsJSONForAJournal(t *testing.T) {
	var b bytes.Buffer
	Logger(&b).Info("hello")
	if !strings.HasPrefix(b.String(), "{") {
		t.Errorf("a pipe gets %q", b.String())
	}
}
