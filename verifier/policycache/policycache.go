// Package policycache keeps the verifier's policies compiled: in memory, mapped from
// one file each, so that all agents share one copy and what nobody asks for stays on
// disk. What is searched all the time, the template digests of a shape, is copied to
// memory of huge pages when they are first asked for, if they are many. A file is named
// by the SHA-256 of the policy's text and the version of the form, and never changes.
// Nothing rests on it: a file that is missing or does not load is made again from the
// text.
//
// The directory belongs to the verifier alone. A mapped file must not be truncated,
// which would end the process; it may be removed.
package policycache

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/singleflight"

	"quicklime/verifier/policy"
	"quicklime/wire/conf"
)

// MaxLoaded bounds the policies that are loaded at one time: each group of machines
// has one.
const MaxLoaded = 64

// Cache is a directory of compiled policies. Its methods may be called from any
// goroutine.
type Cache struct {
	dir   string
	log   *slog.Logger
	huge  *huge
	loads singleflight.Group // by digest: many agents ask for one policy at once

	mu     sync.Mutex
	loaded map[string]*policy.Policy // by digest
}

// Open opens a directory, which is made if it is not there. One that others may
// write is refused (I05): what is in it is judged by.
func Open(dir string, log *slog.Logger) (*Cache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	st, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if perm := st.Mode().Perm(); perm&0o022 != 0 {
		return nil, fmt.Errorf("compiled policies are in %s with mode %04o, where others may replace them; run: rm -r %[1]s, and they are made again", dir, perm)
	}
	return &Cache{dir: dir, log: log, huge: newHuge(log), loaded: map[string]*policy.Policy{}}, nil
}

// Policy returns the policy with the given digest. It calls text for the policy's
// text if there is no compiled form, and returns its error.
func (c *Cache) Policy(digest string, text func() ([]byte, error)) (*policy.Policy, error) {
	if p := c.get(digest); p != nil {
		return p, nil
	}
	p, err, _ := c.loads.Do(digest, func() (any, error) {
		p, err := c.load(digest)
		if err == nil {
			c.put(p)
			return p, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			c.log.Warn("a compiled policy does not load and is made again", "policy", digest[:min(12, len(digest))], "error", err)
		}
		source, err := text()
		if err != nil {
			return nil, err
		}
		if p, err = policy.Parse(source); err != nil {
			return nil, err
		}
		if p.Digest() != digest {
			return nil, fmt.Errorf("the text of policy %s is that of %s", digest, p.Digest())
		}
		return c.Add(p), nil
	})
	if err != nil {
		return nil, err
	}
	return p.(*policy.Policy), nil
}

// Add keeps a policy that was parsed, and returns it as it is loaded from its file;
// or as it is, if it cannot be stored.
func (c *Cache) Add(p *policy.Policy) *policy.Policy {
	stored, err := c.store(p)
	if err != nil {
		c.log.Warn("a compiled policy is kept in memory only", "policy", p.Digest()[:12], "error", err)
		stored = p
	}
	c.put(stored)
	return stored
}

func (c *Cache) store(p *policy.Policy) (*policy.Policy, error) {
	if err := conf.ReplaceFile(c.file(p.Digest()), 0o600, p.Compiled()); err != nil {
		return nil, err
	}
	return c.load(p.Digest())
}

// load maps and loads the file of a digest.
func (c *Cache) load(digest string) (*policy.Policy, error) {
	if sum, err := hex.DecodeString(digest); err != nil || len(sum) != 32 {
		return nil, fmt.Errorf("%q is no digest", digest)
	}
	p, err := mapped(c.file(digest), c.huge)
	if err == nil && p.Digest() != digest {
		return nil, fmt.Errorf("the file is of policy %s", p.Digest())
	}
	return p, err
}

func (c *Cache) file(digest string) string {
	return filepath.Join(c.dir, fmt.Sprintf("%s.v%d", digest, policy.FormVersion))
}

func (c *Cache) get(digest string) *policy.Policy {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.loaded[digest]
}

func (c *Cache) put(p *policy.Policy) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.loaded) >= MaxLoaded {
		clear(c.loaded)
	}
	c.loaded[p.Digest()] = p
}

// Keep removes what is not of one of the digests, from memory and disk. Policies
// that are in use stay usable.
func (c *Cache) Keep(digests []string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	keep := make(map[string]bool)
	for _, d := range digests {
		keep[filepath.Base(c.file(d))] = true
	}
	for d := range c.loaded {
		if !slices.Contains(digests, d) {
			delete(c.loaded, d)
		}
	}
	all, err := os.ReadDir(c.dir)
	for _, e := range all {
		if !keep[e.Name()] && e.Type().IsRegular() {
			err = errors.Join(err, os.Remove(filepath.Join(c.dir, e.Name())))
		}
	}
	return err
}
