package eventlog_test

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-attestation/attest"
	"github.com/google/go-cmp/cmp"

	"quicklime/verifier/eventlog"
	"quicklime/verifier/verifiertest"
	"quicklime/wire/pcr"
)

// foreign returns the logs of real machines that go-attestation has for its own
// tests: cloud machines, a server with option ROMs, Windows.
func foreign(t testing.TB) map[string][]byte {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/go-attestation").Output()
	if err != nil {
		t.Fatal("go list: ", err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "attest", "testdata")
	logs := map[string][]byte{}
	found, _ := filepath.Glob(filepath.Join(dir, "*_eventlog"))
	for _, f := range found {
		if logs[filepath.Base(f)], err = os.ReadFile(f); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "windows_gcp_shielded_vm.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dump struct{ Log struct{ Raw string } }
	if err := json.Unmarshal(text, &dump); err != nil {
		t.Fatal(err)
	}
	if logs["windows"], err = base64.StdEncoding.DecodeString(dump.Log.Raw); err != nil {
		t.Fatal(err)
	}
	if len(logs) != 8 {
		t.Fatalf("%d logs in %s", len(logs), dir)
	}
	return logs
}

// all returns every captured and every foreign log.
func all(t testing.TB) map[string][]byte {
	t.Helper()
	logs := foreign(t)
	for _, name := range verifiertest.BootLogs(t) {
		logs[name] = verifiertest.BootLog(t, name)
	}
	return logs
}

// Every event of every log has the PCR, type, data and digests that go-attestation
// reads, and the PCRs that its events lead to verify there.
func TestGoAttestation(t *testing.T) {
	for name, b := range all(t) {
		peer, err := attest.ParseEventLog(b)
		if err != nil {
			t.Fatal(err)
		}
		l := parse(t, b)
		if len(l.Banks()) == 0 {
			t.Fatalf("%s: no bank", name)
		}
		for _, bank := range l.Banks() {
			s, err := l.Suppose(bank)
			if err != nil {
				t.Fatal(err)
			}
			var pcrs []attest.PCR
			for i := range pcr.Count {
				if value, ok := s.PCR(i); ok {
					pcrs = append(pcrs, attest.PCR{Index: i, Digest: value, DigestAlg: bank.Hash()})
				}
			}
			if len(pcrs) > 0 {
				if _, err := peer.Verify(pcrs); err != nil {
					t.Errorf("%s, %v: %v", name, bank, err)
				}
			}
			if bank == pcr.SHA512 {
				continue
			}
			want := peer.Events(map[pcr.Bank]attest.HashAlg{pcr.SHA1: attest.HashSHA1, pcr.SHA256: attest.HashSHA256, pcr.SHA384: attest.HashSHA384}[bank])
			want = slices.DeleteFunc(want, func(e attest.Event) bool { return eventlog.Type(e.Type) == eventlog.NoAction })
			if len(want) != len(s.Events()) {
				t.Fatalf("%s, %v: %d events, want %d", name, bank, len(s.Events()), len(want))
			}
			for i, e := range s.Events() {
				w := want[i]
				if e.PCR() != w.Index || uint32(e.Type()) != uint32(w.Type) || !bytes.Equal(e.Digest(), w.Digest) || !bytes.Equal(e.Claim().Unchecked(), w.Data) {
					t.Errorf("%s, %v, event %d: %d %v %x, want %d %v %x", name, bank, e.Number(), e.PCR(), e.Type(), e.Digest(), w.Index, w.Type, w.Digest)
				}
				if e.Type().Known() && w.Type.String() != e.Type().String() && !strings.HasPrefix(w.Type.String(), "EventType(") {
					t.Errorf("%s: %v, want %v", name, e.Type(), w.Type)
				}
			}
		}
	}
}

// What go-attestation repairs is a mismatch here, and says of what kind.
func TestGoAttestationRepairs(t *testing.T) {
	b := foreign(t)["ebs_event_missing_eventlog"]
	s, err := parse(t, b).Suppose(pcr.SHA1)
	if err != nil {
		t.Fatal(err)
	}
	value, ok := s.PCR(5)
	if !ok {
		t.Fatal("no PCR 5")
	}
	for _, text := range []string{"Exit Boot Services Invocation", "Exit Boot Services Returned with Success"} {
		value = pcr.SHA1.Extend(value, pcr.SHA1.Sum([]byte(text)))
	}
	peer, err := attest.ParseEventLog(b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := peer.Verify([]attest.PCR{{Index: 5, Digest: value, DigestAlg: crypto.SHA1}}); err != nil {
		t.Errorf("go-attestation does not repair it: %v", err)
	}
	o, _ := parse(t, b).Replay(verifiertest.Quoted(t, values(t, pcr.SHA1, map[int][]byte{5: value}))).PCR(pcr.SHA1, 5)
	if o.State != eventlog.Mismatch || o.Cause != eventlog.CauseExitBootServices {
		t.Error(o)
	}
}

// What tpm2_eventlog 5.4 does not read: it ends with a segmentation fault in the one
// (an image load event of 41 bytes), and takes the other for a crypto agile log.
var unreadable = []string{"option_rom_eventlog", "short_no_action_eventlog"}

// Every log leads to the PCRs that tpm2_eventlog computes.
func TestTPM2EventLog(t *testing.T) {
	dir := t.TempDir()
	for name, b := range all(t) {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("tpm2_eventlog", file).Output()
		if slices.Contains(unreadable, name) {
			continue
		}
		if err != nil {
			t.Fatalf("%s: tpm2_eventlog (Debian package tpm2-tools; make deps installs it): %v", name, err)
		}
		_, text, ok := strings.Cut(string(out), "\npcrs:\n")
		if !ok {
			t.Fatalf("%s: tpm2_eventlog tells no PCRs", name)
		}
		var want, got strings.Builder
		for line := range strings.Lines(text) {
			fmt.Fprintln(&want, strings.Join(strings.Fields(line), " "))
		}
		l := parse(t, b)
		for _, bank := range l.Banks() {
			s, err := l.Suppose(bank)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&got, "%v:\n", bank)
			for i := range pcr.Count {
				if value, ok := s.PCR(i); ok {
					fmt.Fprintf(&got, "%d : 0x%x\n", i, value)
				}
			}
		}
		if diff := cmp.Diff(want.String(), got.String()); diff != "" {
			t.Errorf("%s (-tpm2_eventlog +quicklime):\n%s", name, diff)
		}
	}
}
