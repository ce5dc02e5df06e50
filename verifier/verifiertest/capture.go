package verifiertest

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"quicklime/verifier/bootpolicy"
	"quicklime/verifier/eventlog"
	"quicklime/verifier/quote"
	"quicklime/wire"
	"quicklime/wire/envelope"
	"quicklime/wire/pcr"
	"quicklime/wire/tpm/softtpm"
)

// captures is where they are, from a folder of verifier.
const captures = "../../testdata/captures"

// BootLogs returns the captures with a boot log.
func BootLogs(t testing.TB) (all []string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(captures, "*", "binary_bios_measurements"))
	if err != nil || len(found) < 13 {
		t.Fatalf("%d captures, %v", len(found), err)
	}
	for _, f := range found {
		all = append(all, filepath.Base(filepath.Dir(f)))
	}
	return all
}

// BootLog returns the boot log of a capture.
func BootLog(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(captures, name, "binary_bios_measurements"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Reference is the text of a reference state under which the boots of the logs are
// accepted, by their digests in bank b.
func Reference(t testing.TB, b pcr.Bank, logs ...[]byte) []byte {
	t.Helper()
	var all []bootpolicy.Log
	for _, log := range logs {
		l, err := eventlog.Parse(log)
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.Suppose(b)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	text, err := bootpolicy.Create(nil, all...)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// SystemdLog returns systemd's own log of a capture, nil if it has none.
func SystemdLog(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(captures, name, "tpm2-measure.log"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return b
}

// PCRs returns all PCRs of a capture's pcrs.txt.
func PCRs(t testing.TB, name string) pcr.Values {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(captures, name, "pcrs.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var s pcr.Selection
	var digests [][]byte
	var bank pcr.Bank
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value, isPCR := strings.CutPrefix(strings.TrimSpace(value), "0x")
		if !isPCR {
			if bank, err = pcr.ParseBank(strings.TrimSpace(key)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		i, err := strconv.Atoi(strings.TrimSpace(key))
		if err != nil {
			t.Fatal(err)
		}
		d, err := hex.DecodeString(value)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(s); n == 0 || s[n-1].Bank != bank {
			s = append(s, pcr.BankSet{Bank: bank})
		}
		s[len(s)-1].PCRs |= pcr.Of(i)
		digests = append(digests, d)
	}
	v, err := pcr.NewValues(s, digests)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Quoted is a quote over the values, by a soft TPM.
func Quoted(t testing.TB, v pcr.Values) quote.Verified {
	t.Helper()
	ak := softtpm.New(t)
	b, err := envelope.Seal(envelope.Payload{Nonce: Nonce, AgentID: AgentID, Trigger: wire.TriggerGrowth}, ak.Public, Exporter, ak.Quoter(v))
	if err != nil {
		t.Fatal(err)
	}
	o, err := envelope.Open(b, ak.Public, AgentID, Exporter)
	if err != nil {
		t.Fatal(err)
	}
	q, err := quote.Verify(o, Nonce, v.Selection(), v.Digests())
	if err != nil {
		t.Fatal(err)
	}
	return q
}
