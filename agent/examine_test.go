package agent

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"quicklime/agent/swtpm/swtpmtest"
	"quicklime/wire/pcr"
)

// doctor looks at the list and the TPM of the configuration, fails if something is
// lacking, and says the same as a table and as JSON.
func TestDoctor(t *testing.T) {
	device := swtpmtest.New(t, pcr.SHA1, pcr.SHA256).Device()
	nowhere := filepath.Join(t.TempDir(), "list")
	dir := configure(t, `tpm_device = "`+device+`"`, `ima_list = "`+nowhere+`"`)
	table, asJSON := call(dir, "", "doctor"), call(dir, "", "doctor", "--json")
	var report struct {
		Lacking  bool
		Findings []struct{ Check, State, Seen, Do string }
	}
	if err := json.Unmarshal([]byte(asJSON.stdout), &report); err != nil || !report.Lacking || len(report.Findings) == 0 {
		t.Errorf("%+v, %v", asJSON, err)
	}
	states := map[string]string{}
	for _, f := range report.Findings {
		states[f.Check] = f.State
		if !strings.Contains(table.stdout, f.Seen) || !strings.Contains(table.stdout, f.Do) {
			t.Errorf("the table lacks %+v:\n%s", f, table.stdout)
		}
	}
	if states["IMA"] != "lacking" || states["TPM"] != "ok" {
		t.Errorf("%+v", report)
	}
	for _, r := range []result{table, asJSON} {
		if r.code != 1 || !strings.Contains(r.stderr, "this machine lacks something") || !strings.Contains(r.stdout, nowhere) {
			t.Errorf("%+v", r)
		}
	}
	if bad := call(dir, "", "doctor", "now"); bad.code != 2 || bad.stdout != "" {
		t.Errorf("%+v", bad)
	}
}
