package attack_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"quicklime/agent/imalog"
	"quicklime/agent/push"
	"quicklime/ima"
)

// runAgent runs the agent on the machine until the attack is over.
func (m *machine) runAgent() {
	m.t.Helper()
	m.listFile = filepath.Join(m.t.TempDir(), "binary_runtime_measurements")
	m.writeList(m.list...)
	watcher, err := imalog.NewWatcher(m.listFile, imalog.WatchConfig{Bounds: imalog.DefaultBounds})
	if err != nil {
		m.t.Fatal(err)
	}
	list, err := imalog.New(m.listFile)
	if err != nil {
		m.t.Fatal(err)
	}
	cfg := push.Config{
		Verifier: m.dialConfig(m.site.attesting),
		AgentID:  m.id, AK: m.ak, TPM: m.device, List: list, Grew: watcher.Grew(), Software: "attack", Log: slog.New(slog.DiscardHandler),
	}
	ctx, stop := context.WithCancel(context.Background())
	var g errgroup.Group
	g.Go(func() error { return watcher.Run(ctx) })
	g.Go(func() error { return push.Run(ctx, cfg) })
	m.t.Cleanup(func() {
		stop()
		if err := g.Wait(); err != nil {
			m.t.Error(err)
		}
		list.Close()
		m.listFile = ""
	})
}

// writeList appends to the list that the agent reads.
func (m *machine) writeList(entries ...ima.Entry) {
	m.t.Helper()
	f, err := os.OpenFile(m.listFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		m.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(encode(entries)); err != nil {
		m.t.Fatal(err)
	}
}
