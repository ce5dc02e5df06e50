package agent

import (
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"quicklime/agent/imalog"
	"quicklime/wire/conf"
)

// Config is agent.toml. Each option can also be set by an environment variable:
// QUICKLIME_AGENT_TPM_DEVICE and so on.
type Config struct {
	TPMDevice string `toml:"tpm_device"` // as package tpmdev names one
	IMAList   string `toml:"ima_list"`   // the kernel's binary measurement list
	BootLog   string `toml:"boot_log"`   // the firmware's event log
	StateDir  string `toml:"state_dir"`  // holds the membership
	Label     string `toml:"label"`      // what the machine calls itself when it joins; empty: its host name
	Watch     Watch  `toml:"watch"`

	Log *slog.Logger `toml:"-"` // nil: slog.Default()
}

// Watch says how often the number of measurements is looked at, where the kernel
// does not tell of new ones.
type Watch struct {
	Fast conf.Duration `toml:"fast"` // after it grew
	Slow conf.Duration `toml:"slow"` // at the least
}

// DefaultConfig is the configuration of an agent on a machine with a TPM and IMA.
func DefaultConfig() Config {
	return Config{
		TPMDevice: "/dev/tpmrm0",
		IMAList:   "/sys/kernel/security/ima/binary_runtime_measurements",
		BootLog:   "/sys/kernel/security/tpm0/binary_bios_measurements",
		StateDir:  "/var/lib/quicklime-agent",
		Watch: Watch{
			Fast: conf.Duration(imalog.DefaultBounds.Fast),
			Slow: conf.Duration(imalog.DefaultBounds.Slow),
		},
	}
}

func (w Watch) bounds() imalog.Bounds {
	return imalog.Bounds{Fast: time.Duration(w.Fast), Slow: time.Duration(w.Slow)}
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
