package agent

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"quicklime/agent/imalog"
	"quicklime/wire/conf"
)

// Config is agent.toml. Each option can also be set by an environment variable:
// QUICKLIME_AGENT_TPM_DEVICE and so on.
type Config struct {
	TPMDevice  string `toml:"tpm_device"`  // as package tpmdev names one
	IMAList    string `toml:"ima_list"`    // the kernel's binary measurement list
	BootLog    string `toml:"boot_log"`    // the firmware's event log
	SystemdLog string `toml:"systemd_log"` // systemd's log of what it measures
	StateDir   string `toml:"state_dir"`   // holds the membership, and which payloads were opened
	Label      string `toml:"label"`       // what the machine calls itself when it joins; empty: its host name
	Watch      Watch  `toml:"watch"`

	Payload Payload `toml:"payload"`
	Actions Actions `toml:"actions"`

	Log *slog.Logger `toml:"-"` // nil: slog.Default()
}

// Actions says what is run when the verifier tells of another machine. The agent runs
// none of it; "quicklime-agent run-actions" does.
type Actions struct {
	Dir      string        `toml:"dir"`       // of executables
	StateDir string        `toml:"state_dir"` // what was run, and how it ended
	Timeout  conf.Duration `toml:"timeout"`   // of each executable, for one event
}

// Watch says how the growth of the kernel's list is noticed. A list that is a plain
// file, an emulator's, is watched with inotify whatever is set here.
type Watch struct {
	Fast     conf.Duration `toml:"fast"`     // gap between looks at the number of measurements, after it grew
	Slow     conf.Duration `toml:"slow"`     // the same, when nothing has grown for long
	Perf     PerfUse       `toml:"perf"`     // a probe in the kernel that tells at once
	Backstop conf.Duration `toml:"backstop"` // in the place of slow, where the probe is set
}

// PerfUse says whether a perf event is to wake the agent.
type PerfUse struct{ use perfUse }

type perfUse int

const (
	perfOff     perfUse = iota
	perfTry             // without the right to it, say so and go on with the timer
	perfRequire         // without the right to it, do not start
)

var perfWords = []string{perfOff: "off", perfTry: "try", perfRequire: "require"}

// UnmarshalText takes off, try or require.
func (p *PerfUse) UnmarshalText(text []byte) error {
	i := slices.Index(perfWords, string(text))
	if i < 0 {
		return fmt.Errorf("%q is not one of %s", text, strings.Join(perfWords, ", "))
	}
	p.use = perfUse(i)
	return nil
}

// MarshalText is what UnmarshalText takes.
func (p PerfUse) MarshalText() ([]byte, error) { return []byte(perfWords[p.use]), nil }

// DefaultConfig is the configuration of an agent on a machine with a TPM and IMA.
func DefaultConfig() Config {
	return Config{
		TPMDevice:  "/dev/tpmrm0",
		IMAList:    "/sys/kernel/security/ima/binary_runtime_measurements",
		BootLog:    "/sys/kernel/security/tpm0/binary_bios_measurements",
		SystemdLog: "/run/log/systemd/tpm2-measure.log",
		StateDir:   "/var/lib/quicklime-agent",
		Watch: Watch{
			Fast: conf.Duration(imalog.DefaultBounds.Fast),
			Slow: conf.Duration(imalog.DefaultBounds.Slow),

			Backstop: conf.Duration(imalog.DefaultBounds.Backstop),
		},
		Payload: Payload{Dir: "/run/quicklime-agent/payloads", RunTimeout: conf.Duration(time.Minute)},
		Actions: Actions{
			Dir: "/etc/quicklime/actions.d", StateDir: "/var/lib/quicklime-actions", Timeout: conf.Duration(time.Minute),
		},
	}
}

func (w Watch) bounds() imalog.Bounds {
	return imalog.Bounds{Fast: time.Duration(w.Fast), Slow: time.Duration(w.Slow), Backstop: time.Duration(w.Backstop)}
}

// label is the configured label or the host name.
func (c Config) label() (string, error) {
	if c.Label != "" {
		return c.Label, nil
	}
	return os.Hostname()
}

func (c Config) logger() *slog.Logger {
	if c.Log == nil {
		return slog.Default()
	}
	return c.Log
}

func (c Config) membershipFile() string { return filepath.Join(c.StateDir, "membership.json") }

// noticeFile keeps the number of the last notice, noticeKeys how the key of notices came
// to be what it is, and spool the notices that are to be acted on.
func (c Config) noticeFile() string { return filepath.Join(c.StateDir, "last-notice") }

func (c Config) noticeKeys() string { return filepath.Join(c.StateDir, "notice-keys") }

func (c Config) spool() string { return filepath.Join(c.StateDir, "notices") }
