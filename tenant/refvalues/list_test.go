package refvalues

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quicklime/ima"
	"quicklime/verifier/appraise"
	"quicklime/verifier/policy"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

var at = time.Date(2026, 11, 23, 18, 0, 0, 0, time.FixedZone("", 3600))

// captures returns the measurement lists of real kernels by the name of their
// capture.
func captures(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("../../testdata/captures/*/binary_runtime_measurements*")
	if err != nil {
		t.Fatal(err)
	}
	lists := make(map[string][]byte)
	for _, file := range files {
		list, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, ".gz") {
			list = gunzip(t, list)
		}
		lists[filepath.Base(filepath.Dir(file))] = list
	}
	for _, want := range []string{"direct-6.1-ima-ng", "direct-6.1-ima-sig", "bench-20k-tpm"} {
		if lists[want] == nil {
			t.Fatalf("no capture %s", want)
		}
	}
	return lists
}

func gunzip(t *testing.T, b []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	b, err = io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// entries parses a list.
func entries(t *testing.T, list []byte) (all []ima.Entry) {
	t.Helper()
	for len(list) > 0 {
		e, n, err := ima.ParseEntry(list)
		if err != nil {
			t.Fatal(err)
		}
		all, list = append(all, e), list[n:]
	}
	return all
}

// A policy made from a machine's list allows every file of that list, and no
// file whose digest differs in a bit.
func TestFromListAllowsItsList(t *testing.T) {
	for name, list := range captures(t) {
		t.Run(name, func(t *testing.T) {
			v, report, err := FromList(list, nil)
			if err != nil {
				t.Fatal(err)
			}
			text, err := v.Policy(Meta{At: at})
			if err != nil {
				t.Fatal(err)
			}
			p, err := policy.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			files := checkAllowed(t, p, entries(t, list))
			if files != report.Files || files == 0 || p.Paths() != v.Paths() {
				t.Errorf("%d files, report has %+v; policy has %d paths, values %d", files, report, p.Paths(), v.Paths())
			}
			if n := p.BootAggregates(); n != nil || report.BootAggregates != 1 {
				t.Errorf("policy lists boot_aggregate %v, report has %d", n, report.BootAggregates)
			}
		})
	}
}

// checkAllowed checks p against the files of a list and counts them.
func checkAllowed(t *testing.T, p *policy.Policy, list []ima.Entry) (files int) {
	t.Helper()
	for i, e := range list {
		if e.Violation() {
			continue
		}
		ev, err := e.Event()
		if err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		if string(ev.Name) == ima.BootAggregate {
			continue
		}
		files++
		if d := p.JudgeFile(ev.Name, ev.Algorithm, ev.Digest); d.Verdict != policy.Allowed {
			t.Errorf("entry %d: %q is %v", i, ev.Name, d.Verdict)
		}
		wrong := bytes.Clone(ev.Digest)
		wrong[len(wrong)-1] ^= 1
		if d := p.JudgeFile(ev.Name, ev.Algorithm, wrong); d.Verdict != policy.WrongDigest {
			t.Errorf("entry %d: %q with another digest is %v", i, ev.Name, d.Verdict)
		}
	}
	return files
}

// checkReport wants every entry of a list to be in the report, once.
func checkReport(t *testing.T, r Report, list []ima.Entry) {
	t.Helper()
	sum := r.Files + r.Excluded + r.Violations + r.BootAggregates + r.Keys + r.Buffers + r.DeviceEvents + r.UnlistedCount
	if r.Entries != len(list) || sum != r.Entries || len(r.Unlisted) != min(r.UnlistedCount, MaxUnlisted) {
		t.Errorf("the list has %d entries, the report is %+v", len(list), r)
	}
}

func FuzzFromList(f *testing.F) {
	f.Add(strangeList(), "/tmp/.*")
	f.Add(join(file(pcr.SHA256, 1, "/bin/a"), file(pcr.SHA1, 1, "/bin/ü")), "")
	f.Add([]byte{1}, "(")
	f.Fuzz(func(t *testing.T, list []byte, exclude string) {
		v, report, err := FromList(list, []string{exclude})
		if err != nil {
			return
		}
		all := entries(t, list)
		checkReport(t, report, all)
		text, err := v.Policy(Meta{At: at})
		if err != nil {
			t.Fatal(err)
		}
		p, err := policy.Parse(text)
		if err != nil {
			t.Fatalf("the policy made of it is none: %v", err)
		}
		allowed, excluded := 0, 0
		for _, e := range all {
			ev, err := e.Event()
			if err != nil || e.Violation() || ev.Buffer != nil || string(ev.Name) == ima.BootAggregate {
				continue
			}
			switch p.JudgeFile(ev.Name, ev.Algorithm, ev.Digest).Verdict {
			case policy.Allowed:
				allowed++
			case policy.Excluded:
				excluded++
			}
		}
		if allowed != report.Files || excluded != report.Excluded {
			t.Errorf("the policy allows %d files and excludes %d, the report is %+v", allowed, excluded, report)
		}
	})
}

// file makes the entry of a file whose digest is n in every byte.
func file(bank pcr.Bank, n byte, path string) ima.Entry {
	return ima.NewFileEntry(bank, bytes.Repeat([]byte{n}, bank.Size()), path)
}

// join writes entries as the kernel does.
func join(all ...ima.Entry) (list []byte) {
	for _, e := range all {
		list = e.AppendTo(list)
	}
	return list
}

// strangeList has an entry of every kind.
func strangeList() []byte {
	violation := file(pcr.SHA256, 0, "/violated")
	violation.Digest = make([]byte, 20)
	alien := file(pcr.SHA256, 9, "/alien")
	alien.Data = append([]byte{11, 0, 0, 0}, append([]byte("sm3-256:\x00ab"), 8, 0, 0, 0, '/', 'a', 'l', 'i', 'e', 'n', '1', 0)...)
	unread := file(pcr.SHA256, 9, "/unread")
	unread.Data = []byte("?")
	return join(
		file(pcr.SHA256, 1, "boot_aggregate"),
		file(pcr.SHA256, 2, "/bin/a"),
		file(pcr.SHA256, 1, "/bin/a"),
		file(pcr.SHA1, 1, "/bin/a"),
		file(pcr.SHA256, 2, "/bin/a"),
		file(pcr.SHA512, 1, "/bin/<&>"),
		file(pcr.SHA256, 3, "/tmp/x"),
		file(pcr.SHA256, 4, "/tmp/\xff"),
		file(pcr.SHA256, 5, "/bin/\xff"),
		file(pcr.SHA256, 6, "/bin/has space"),
		file(pcr.SHA256, 7, "no-slash"),
		violation, alien, unread, buffer("kexec-cmdline", "quiet"),
	)
}

// buffer makes the entry of a buffer.
func buffer(name, content string) ima.Entry {
	e := file(pcr.SHA256, 0, name)
	e.Template, e.Data = []byte("ima-buf"), nil
	for _, field := range []string{"sha256:\x00" + string(pcr.SHA256.Sum([]byte(content))), name + "\x00", content} {
		e.Data = binary.LittleEndian.AppendUint32(e.Data, uint32(len(field)))
		e.Data = append(e.Data, field...)
	}
	return e
}

// The policy made of a list has nothing against that list, whatever its template.
func TestFromListPassesItsOwnTest(t *testing.T) {
	lists := captures(t)
	lists["with buffers"] = bufferList(t)
	for name, list := range lists {
		v, report, err := FromList(list, nil)
		if err != nil {
			t.Fatal(err)
		}
		v.SetViolations(policy.ViolationsWarn)
		text, err := v.Policy(Meta{})
		if err != nil {
			t.Fatal(err)
		}
		p, err := policy.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		var failed []wire.Failure
		counts, err := appraise.Survey(list, p, func(f wire.Failure) { failed = append(failed, f) })
		if err != nil || len(failed) != report.DeviceEvents || counts.Listed != uint64(report.Files) {
			t.Errorf("%s: %v, %+v, %+v, report %+v", name, err, failed, counts, report)
		}
	}
}

// bufferList has two keys for a keyring, two other buffers and a device's.
func bufferList(t *testing.T) []byte {
	t.Helper()
	list := join(file(pcr.SHA256, 1, "boot_aggregate"))
	for _, name := range []string{"x509_ima.der", "x509_ima_ec.der"} {
		der, err := os.ReadFile("../../testdata/captures/ca/" + name)
		if err != nil {
			t.Fatal(err)
		}
		list = buffer(".ima", string(der)).AppendTo(list)
	}
	return append(list, join(buffer("kexec-cmdline", "quiet"), buffer("kexec-cmdline", "debug"), buffer("kexec-cmdline", "quiet"), buffer("dm_table_load", "dm_version=4.47.0;"))...)
}

func TestI17_FromListTakesKeysAndBuffers(t *testing.T) {
	list := append(bufferList(t), join(buffer("/bin/evil", "quiet"), buffer("x", "\x03\x02"), buffer("\xff", "quiet"))...)
	v, report, err := FromList(list, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range report.Unlisted {
		t.Log(u)
	}
	report.Unlisted = nil
	if d := cmp.Diff(Report{Entries: 10, BootAggregates: 1, Keys: 2, Buffers: 3, DeviceEvents: 1, UnlistedCount: 3}, report); d != "" {
		t.Error(d)
	}
	if len(v.keyrings[".ima"]) != 2 || len(v.buffers["kexec-cmdline"]) != 2 || len(v.Keyrings()) != 1 || len(v.Buffers()) != 1 || v.Paths() != 0 {
		t.Errorf("%+v", v)
	}
	text, err := Merge([]byte(`{"meta": {"version": 1}, "keyrings": {".ima": ["`+strings.Repeat("01", 32)+`"]}}`), v, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse(text)
	if err != nil || len(p.Contents().Keyrings[".ima"]) != 3 || len(p.Contents().Buffers["kexec-cmdline"]) != 2 {
		t.Errorf("%s\n%v", text, err)
	}
	v.OmitKeyrings()
	v.OmitBuffers()
	if len(v.Keyrings())+len(v.Buffers()) != 0 {
		t.Errorf("%+v", v)
	}
}

func TestFromListReports(t *testing.T) {
	v, report, err := FromList(strangeList(), []string{"^/tmp/.*"})
	if err != nil {
		t.Fatal(err)
	}
	var places []int
	var paths []string
	for _, u := range report.Unlisted {
		places, paths = append(places, u.Entry), append(paths, u.Path)
	}
	report.Unlisted = nil
	want := Report{Entries: 15, Files: 7, Excluded: 2, Violations: 1, BootAggregates: 1, Buffers: 1, UnlistedCount: 3}
	if d := cmp.Diff(want, report); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]int{8, 12, 13}, places); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{`"/bin/\xff"`, `"/alien1"`, ``}, paths); d != "" {
		t.Error(d)
	}
	if v.Paths() != 4 {
		t.Errorf("%d paths", v.Paths())
	}
}

// A name that the kernel would have written otherwise is listed as it is, so that
// the policy allows what the list has.
func TestFromListKeepsNames(t *testing.T) {
	list := join(file(pcr.SHA256, 6, "/bin/has space"))
	v, _, err := FromList(list, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := v.Policy(Meta{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if n := checkAllowed(t, p, entries(t, list)); n != 1 {
		t.Errorf("%d files", n)
	}
}

func TestFromListRefuses(t *testing.T) {
	list := strangeList()
	var cut int
	for n := range list {
		if _, _, err := FromList(list[:n], nil); err != nil {
			cut++
			if !errors.Is(err, ima.ErrShort) {
				t.Errorf("the first %d bytes: %v", n, err)
			}
		}
	}
	if whole := len(entries(t, list)); cut != len(list)-whole {
		t.Errorf("%d cuts fail, want all of %d but the %d between entries", cut, len(list), whole)
	}
	_, _, err := FromList(append(join(file(pcr.SHA256, 1, "/a")), bytes.Repeat([]byte{0xff}, 64)...), nil)
	if !errors.Is(err, ima.ErrMalformed) || !strings.HasPrefix(err.Error(), "entry 1: ") {
		t.Errorf("error %v", err)
	}
	_, _, err = FromList(list, []string{"/x", "/a(?!b)"})
	if e := (*policy.Error)(nil); !errors.As(err, &e) || e.Problems[0].Place != "excludes[1]" {
		t.Errorf("error %v", err)
	}
}

func TestReportIsBounded(t *testing.T) {
	var list []byte
	for range MaxUnlisted + 2 {
		list = file(pcr.SHA256, 1, "/\xff").AppendTo(list)
	}
	_, report, err := FromList(list, nil)
	if err != nil || len(report.Unlisted) != MaxUnlisted || report.UnlistedCount != MaxUnlisted+2 {
		t.Errorf("%d listed of %d, error %v", len(report.Unlisted), report.UnlistedCount, err)
	}
}
