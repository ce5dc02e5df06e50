package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"quicklime/wire/conf"
	"quicklime/wire/jointoken"
)

// settle is how long files must be left alone before they are read: an editor or a
// package manager changes several, and each in steps.
const settle = 200 * time.Millisecond

// settings are what the files say that the agent goes by. The certificates that it
// trusts are in the membership, as a pin.
type settings struct {
	cfg    Config
	member jointoken.Membership
}

// settings reads the files.
func (p *program) settings() (settings, error) {
	cfg, err := p.load()
	if err != nil {
		return settings{}, err
	}
	member, err := readMembership(cfg.membershipFile())
	return settings{cfg, member}, err
}

// attest attests until ctx is done, and begins anew when the configuration or the
// membership has changed and can be read.
func (p *program) attest(ctx context.Context, cfg Config) error {
	for {
		next, err := p.attestUntilChanged(ctx, cfg)
		if next == nil {
			return err
		}
		cfg = *next
	}
}

// attestUntilChanged returns the new configuration, or else what Run returned.
func (p *program) attestUntilChanged(ctx context.Context, cfg Config) (next *Config, err error) {
	member, err := readMembership(cfg.membershipFile())
	if err != nil {
		return nil, err
	}
	now := settings{cfg, member}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	changes, ended := make(chan struct{}), make(chan error, 1)
	f := configurationFiles(p.dirs(), cfg)
	running.Go(func() {
		if err := f.watch(ctx, changes); err != nil {
			cfg.Log.Warn("a changed configuration will be noticed by the next start alone", "error", err)
		}
	})
	running.Go(func() { ended <- Run(ctx, cfg) })
	for {
		select {
		case err := <-ended:
			return nil, err
		case <-changes:
		}
		other, err := p.settings()
		switch {
		case err != nil:
			cfg.Log.Error("the changed configuration cannot be used; the one before stays in force", "error", err)
		case other != now:
			cfg.Log.Info("the configuration or the membership has changed: the agent begins anew")
			cancel()
			return &other.cfg, <-ended
		}
	}
}

// files are those that are watched, by their directories, for they may be replaced.
type files struct {
	dirs    []string
	ours    func(path string) bool
	dropins string // a directory that may be made later
	started func(dirs []string)
}

// configurationFiles are what an agent reads at its start.
func configurationFiles(d conf.Dirs, cfg Config) files {
	dropins := filepath.Join(d.System, "agent.toml.d")
	own := []string{filepath.Join(d.Vendor, "agent.toml"), filepath.Join(d.System, "agent.toml"), filepath.Clean(cfg.membershipFile()), dropins}
	return files{
		dirs: []string{d.Vendor, d.System, dropins, cfg.StateDir}, dropins: dropins,
		ours: func(path string) bool {
			if filepath.Dir(path) == dropins {
				return strings.HasSuffix(path, ".toml")
			}
			for _, f := range own {
				if path == f {
					return true
				}
			}
			return false
		},
		started: func(dirs []string) {
			cfg.Log.Info("watching configuration and membership", "by", "inotify", "directories", dirs)
		},
	}
}

// watch tells of changes, each once the files have settled, until ctx is done, and
// then returns nil. What does not exist is left out.
func (f files) watch(ctx context.Context, changes chan<- struct{}) error {
	n, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("inotify: %w", err)
	}
	defer n.Close()
	var watched []string
	for _, dir := range f.dirs {
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		if err := n.Add(dir); err != nil {
			return fmt.Errorf("inotify: %s: %w", dir, err)
		}
		watched = append(watched, dir)
	}
	f.started(watched)
	quiet := time.NewTimer(settle) // for what happened before the watch was there
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-n.Events:
			if e.Name == f.dropins && e.Has(fsnotify.Create) {
				n.Add(e.Name) // it may be gone again
			}
			if f.ours(e.Name) {
				quiet.Reset(settle)
			}
		case <-n.Errors: // events were lost: one of them may have been ours
			quiet.Reset(settle)
		case <-quiet.C:
			select {
			case changes <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
		}
	}
}
