package dm_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/verifier/policy/dm"
)

// measured is a line of testdata/events.txt.
type measured struct {
	name, sum string
	buf       []byte
}

func events(t testing.TB) (all []measured) {
	t.Helper()
	text, err := os.ReadFile("testdata/events.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.SplitN(strings.TrimSpace(line), " ", 3)
		s, err := strconv.Unquote(f[2])
		if err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		all = append(all, measured{f[0], f[1], []byte(s)})
	}
	return all
}

func TestMeasuredEventsAreReadAndWrittenAgain(t *testing.T) {
	types := make(map[string]bool)
	for _, m := range events(t) {
		if sum := sha256.Sum256(m.buf); m.sum != "-" && m.sum != hex.EncodeToString(sum[:]) {
			t.Fatalf("not what a kernel measured: %s", m.buf)
		}
		e, err := dm.Parse(m.name, m.buf)
		if err != nil {
			t.Errorf("%s: %v\n%s", m.name, err, m.buf)
			continue
		}
		if got := e.Append(nil); string(got) != string(m.buf) {
			t.Errorf("%s\ngot  %q\nwant %q", m.name, got, m.buf)
		}
		if l, ok := e.(dm.Load); ok {
			types[l.Targets[0].Name] = true
		}
	}
	if len(types) != 10 { // all that dm-ima.rst has
		t.Errorf("targets of %d types: %v", len(types), types)
	}
}

const driver = "dm_version=4.45.0;"

func version(a, b, c uint32) dm.Version { return dm.Version{Major: a, Minor: b, Patch: c} }

func TestRecords(t *testing.T) {
	l1 := dm.Device{Identity: dm.Identity{Name: "l=1", UUID: `a\b`}, Major: 253, Minor: 2, MinorCount: 1, NumTargets: 2}
	described := `name=l\=1,uuid=a\\b,major=253,minor=2,minor_count=1,num_targets=2;`
	hash, digits := dm.Hash{1, 31: 0xfe}, "sha256:01"+strings.Repeat("00", 30)+"fe"
	none := &dm.NoTable{Identity: dm.Identity{Name: "n"}}
	padded := &dm.NoTable{Identity: dm.Identity{Name: "n"}, Padded: true}
	target := dm.Target{Index: 3, Begin: 4, Len: 1 << 63, Name: "crypt-x", Version: version(1, 2, 3),
		Attributes: []dm.Attribute{{"cipher_string", "capi:authenc(hmac(sha256),xts(aes))-plain64"}, {"empty", ""}, {"sum", "YQ=="}}}
	row := "target_index=3,target_begin=4,target_len=9223372036854775808,target_name=crypt-x,target_version=1.2.3," +
		"cipher_string=capi:authenc(hmac(sha256),xts(aes))-plain64,empty=,sum=YQ==;"
	for _, c := range []struct {
		name, buf string
		want      dm.Event
	}{
		{dm.TableLoad, described + row, dm.Load{Device: l1, Targets: []dm.Target{target}}},
		{dm.TargetUpdate, described + row, dm.Update{Device: l1, Target: target}},
		{dm.DeviceResume, described + "active_table_hash=" + digits + ";current_device_capacity=18446744073709551615;",
			dm.Resume{Active: &dm.Table{Device: l1, Hash: hash}, Capacity: 1<<64 - 1}},
		{dm.DeviceResume, "name=n,uuid=;device_resume=no_data;current_device_capacity=0;", dm.Resume{None: none}},
		{dm.TableClear, described + "inactive_table_hash=" + digits + ";current_device_capacity=1;",
			dm.Clear{Inactive: &dm.Table{Device: l1, Hash: hash}, Capacity: 1}},
		{dm.TableClear, "name=n,uuid=;table_clear=no_data;" + strings.Repeat("\x00", len(driver)) + "current_device_capacity=0;", dm.Clear{None: padded}},
		{dm.DeviceRemove, "name=n,uuid=;device_remove=no_data;remove_all=y;current_device_capacity=0;", dm.Remove{None: none, All: true}},
		{dm.DeviceRemove, "device_inactive_metadata=" + described + "inactive_table_hash=" + digits + ",remove_all=n;current_device_capacity=0;",
			dm.Remove{Inactive: &dm.Table{Device: l1, Hash: hash}}},
		{dm.DeviceRename, "device_rename=no_data;new_name=n,new_uuid=u;current_device_capacity=0;", dm.Rename{New: dm.Identity{Name: "n", UUID: "u"}}},
	} {
		got, err := dm.Parse(c.name, []byte(driver+c.buf))
		if err != nil {
			t.Errorf("%s: %v", c.buf, err)
			continue
		}
		if b := string(got.Append(nil)); b != driver+c.buf {
			t.Errorf("got  %s\nwant %s", b, driver+c.buf)
		}
		if d := cmp.Diff(c.want, got, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Driver" }, cmp.Ignore())); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

func TestI04_EveryCutFails(t *testing.T) {
	for _, m := range events(t) {
		for cut := range m.buf {
			e, err := dm.Parse(m.name, m.buf[:cut])
			if l, ok := e.(dm.Load); ok && cut > 0 && m.buf[cut-1] == ';' && int(l.Device.NumTargets) > len(l.Targets) {
				continue // a table may go on in another event
			}
			if err == nil {
				t.Errorf("%s, the first %d bytes: %s", m.name, cut, m.buf[:cut])
			}
		}
	}
}

// linear is a load of a linear device with so many targets, from target first on.
func linear(name, uuid string, first, n, announced int) string {
	b := driver + "name=" + name + ",uuid=" + uuid + ",major=253,minor=0,minor_count=1,num_targets=" + strconv.Itoa(announced) + ";"
	for i := first; i < first+n; i++ {
		b += "target_index=" + strconv.Itoa(i) + ",target_begin=" + strconv.Itoa(2*i) + ",target_len=2,target_name=linear,target_version=1.4.0,device_name=7:0,start=512;"
	}
	return b
}

func TestI17_BuffersThatNoKernelWrites(t *testing.T) {
	good := linear("a", "", 0, 2, 2)
	resume := driver + "name=a,uuid=,major=253,minor=0,minor_count=1,num_targets=1;active_table_hash=sha256:" + strings.Repeat("ab", 32) + ";current_device_capacity=8;"
	if _, err := dm.Parse(dm.TableLoad, []byte(good)); err != nil {
		t.Fatal(err)
	}
	if _, err := dm.Parse(dm.DeviceResume, []byte(resume)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ what, name, buf, want string }{
		{"another event", "dm_table", good, `byte 0: "dm_table" is no device-mapper event`},
		{"the format of Linux 5.14", dm.TableLoad, good[len(driver):], `byte 0: want "dm_version="`},
		{"a zero before a number", dm.TableLoad, strings.Replace(good, "major=253", "major=0253", 1), "byte 37: want a number of at most 32 bits"},
		{"no number", dm.TableLoad, strings.Replace(good, "major=253", "major=", 1), "byte 37: want a number of at most 32 bits"},
		{"a number of 33 bits", dm.TableLoad, strings.Replace(good, "major=253", "major=4294967296", 1), "byte 37: want a number of at most 32 bits"},
		{"no name", dm.TableLoad, linear("", "", 0, 1, 1), "byte 23: a device without a name"},
		{"an escape that ends the name early", dm.TableLoad, linear(`a\`, "", 0, 1, 1), "byte 30: '=' is not escaped"},
		{"a field in a name", dm.TableLoad, linear("a,uuid=b", "", 0, 1, 1), `byte 31: want ",major="`},
		{"an escape of a letter", dm.TableLoad, linear(`\a`, "", 0, 1, 1), `byte 23: a \ that escapes nothing`},
		{"a new line", dm.TableLoad, linear("a\n", "", 0, 1, 1), "byte 24: 0x0a is not printable ASCII"},
		{"another order of targets", dm.TableLoad, linear("a", "", 1, 1, 2) + strings.TrimPrefix(linear("a", "", 0, 1, 2), linear("a", "", 0, 0, 2)), "byte 186: target 0 in the place of target 2"},
		{"a target twice", dm.TableLoad, good + strings.TrimPrefix(linear("a", "", 1, 1, 2), linear("a", "", 0, 0, 2)), "byte 295: target 1 in the place of target 2"},
		{"no target", dm.TableLoad, linear("a", "", 0, 0, 0), `byte 77: want "target_index="`},
		{"two targets in an update", dm.TargetUpdate, good, "byte 186: 109 bytes more than the event has"},
		{"a type that measures nothing", dm.TableLoad, linear("a", "", 0, 0, 1) + "target_index=0,target_begin=0,target_len=2,", `byte 120: want "target_name=": a target of a type that measures nothing`},
		{"a type without a name", dm.TableLoad, strings.Replace(good, "target_name=linear", "target_name=", 1), "byte 132: want a name"},
		{"an attribute that is missing", dm.TableLoad, strings.Replace(good, ",start=512", "", 1), "byte 176: a target linear without its attribute start"},
		{"an attribute that stands twice", dm.TableLoad, strings.Replace(good, ",start=512", ",start=512,start=0", 1), `byte 193: the attribute "start" is there twice`},
		{"a target in a value, behind which the kernel cut", dm.TableLoad, strings.Replace(good, "start=512;", "start=512;target_index=1,target_begin=2,target_len=2,target_name=x,target_version=0.0.0,cut=", 1), `byte 297: the attribute "target_begin" is there twice`},
		{"a value with a NUL", dm.TableLoad, strings.Replace(good, "start=512", "start=5\x002", 1), "byte 183: 0x00 is not printable ASCII"},
		{"a bare hash", dm.DeviceResume, strings.Replace(resume, "sha256:", "", 1), `byte 95: want "sha256:"`},
		{"upper case", dm.DeviceResume, strings.Replace(resume, "abab", "ABAB", 1), "byte 102: want 64 lower-case hexadecimal digits"},
		{"padding where there is a table", dm.DeviceResume, strings.Replace(resume, "current", strings.Repeat("\x00", 18)+"current", 1), `byte 167: want "current_device_capacity="`},
		{"padding of another length", dm.TableClear, driver + "name=a,uuid=;table_clear=no_data;" + strings.Repeat("\x00", 17) + "current_device_capacity=8;", `byte 51: want "current_device_capacity="`},
		{"a removal of nothing", dm.DeviceRemove, driver + "remove_all=n;current_device_capacity=8;", `byte 18: want "name="`},
		{"neither yes nor no", dm.DeviceRemove, driver + "name=a,uuid=;device_remove=no_data;remove_all=x;current_device_capacity=8;", `byte 64: want "n"`},
		{"more", dm.DeviceResume, resume + "x", "byte 193: 1 bytes more than the event has"},
	} {
		if _, err := dm.Parse(c.name, []byte(c.buf)); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s\n%s", c.what, err, c.want, c.buf)
		}
	}
}

func TestI04_EventsAreBounded(t *testing.T) {
	attributes := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(",a" + strconv.Itoa(i) + "=")
		}
		return strings.Replace(linear("a", "", 0, 1, 1), ",start=512", ",start=512"+b.String(), 1)
	}
	many := func(n int) string {
		short := linear("a", "", 0, 0, n)
		for i := range n {
			short += "target_index=" + strconv.Itoa(i) + ",target_begin=0,target_len=0,target_name=x,target_version=0.0.0;"
		}
		return short
	}
	value := func(n int) string { return strings.Replace(linear("a", "", 0, 1, 1), "512", strings.Repeat("5", n), 1) }
	whole := dm.MaxEvent - len(value(0))
	for _, c := range []struct{ what, within, beyond, want string }{
		{"a name", linear(strings.Repeat(`\=`, 127), "", 0, 1, 1), linear(strings.Repeat(`\=`, 128), "", 0, 1, 1), "more than 127 bytes"},
		{"a uuid", linear("a", strings.Repeat("u", 128), 0, 1, 1), linear("a", strings.Repeat("u", 129), 0, 1, 1), "more than 128 bytes"},
		{"attributes", attributes(510), attributes(511), "more than 512 attributes"},
		{"an event", value(whole), value(whole + 1), "an event of 65537 bytes, the limit is 65536"},
		{"targets", many(256), many(257), "more than 256 targets"},
	} {
		if _, err := dm.Parse(dm.TableLoad, []byte(c.within)); err != nil {
			t.Errorf("%s at its bound: %v", c.what, err)
		}
		if _, err := dm.Parse(dm.TableLoad, []byte(c.beyond)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s beyond its bound: %v, want %q", c.what, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, m := range events(f) {
		f.Add(m.name, m.buf)
	}
	f.Add(dm.TableLoad, []byte(linear(`a\=b\\`, "u", 0, 3, 3)))
	policies := []*dm.Policy{policy(f, "verity.json"), policy(f, "linear.json")}
	known := slices.DeleteFunc(events(f), func(m measured) bool { return m.name != dm.TableLoad })
	f.Fuzz(func(t *testing.T, name string, buf []byte) {
		e, err := dm.Parse(name, buf)
		if err == nil && string(e.Append(nil)) != string(buf) {
			t.Fatalf("%q is written as %q", buf, e.Append(nil))
		}
		for _, p := range policies {
			var s dm.State
			for _, m := range known {
				s, _ = p.Judge(s, m.name, m.buf)
			}
			s, found := p.Judge(s, name, buf)
			if err != nil && len(found) == 0 {
				t.Fatalf("nothing is wrong with %q", buf)
			}
			again(t, s)
		}
	})
}
