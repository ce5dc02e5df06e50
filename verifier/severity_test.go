package verifier_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quicklime/verifier"
	"quicklime/wire/conf"
	"quicklime/wire/wiretest"
)

// runs starts a verifier with an administrator's file, and stops it when it is
// ready.
func runs(t *testing.T, dir, doc string, log *wiretest.Log) error {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "verifier.toml"), []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := verifier.DefaultConfig()
	if err := conf.Load("verifier", conf.Dirs{System: dir}, nil, &cfg); err != nil {
		return err
	}
	cfg.Listen, cfg.StateDir, cfg.PKIDir, cfg.Log = "127.0.0.1:0", filepath.Join(dir, "state"), filepath.Join(dir, "pki"), slog.New(slog.NewTextHandler(log, nil))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	cfg.OnReady = func(string) { stop() }
	return verifier.Run(ctx, cfg)
}

func TestSeverityIsConfigured(t *testing.T) {
	dir := t.TempDir()
	const anew, overruled = "labelled anew", "always has the highest label"
	for _, c := range []struct {
		doc, says, saysNot string
	}{
		{"", "ready", anew},
		{`severity_policy = [{event_id = 'ima\.validation\..*', severity_label = "warning"}]`, anew, overruled},
		{`severity_policy = [{event_id = 'ima\.validation\..*', severity_label = "warning"}]`, "ready", anew},
		{"severity_labels = ['low', 'high']\nseverity_policy = [\n{event_id = '.*', severity_label = 'low'},\n]", overruled, "error"},
		{"", anew, overruled},
	} {
		var log wiretest.Log
		if err := runs(t, dir, c.doc, &log); err != nil {
			t.Errorf("%s: %v", c.doc, err)
		}
		if text := log.String(); !strings.Contains(text, c.says) || strings.Contains(text, c.saysNot) {
			t.Errorf("%s: want %q and not %q in\n%s", c.doc, c.says, c.saysNot, text)
		}
	}
	for doc, want := range map[string]string{
		"severity_labels = []": "severity_labels has 0 labels",
		"severity_policy = []": "severity_policy is empty",
		`severity_policy = [{event_id = "a", severity_label = "grave"}]`: `severity_policy[0].severity_label: "grave" is none of severity_labels`,
		`severity_policy = [{event_id = "(", severity_label = "info"}]`:  "severity_policy[0].event_id: error parsing regexp",
		`severity_policy = [{event_id = "a"}]`:                           "verifier.toml:1: severity_policy has an element without severity_label",
	} {
		if err := runs(t, dir, doc, new(wiretest.Log)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, want one with %q", doc, err, want)
		}
	}
}
