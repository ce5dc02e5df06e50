package dm_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/verifier/policy/dm"
	"quicklime/wire"
)

func policy(t testing.TB, file string) *dm.Policy {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata/policies", file))
	if err != nil {
		t.Fatal(err)
	}
	return parsed(t, string(text))
}

func parsed(t testing.TB, text string) *dm.Policy {
	t.Helper()
	p, problems := dm.ParsePolicy([]byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return p
}

// again is s, stored and loaded.
func again(t testing.TB, s dm.State) dm.State {
	t.Helper()
	b, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := dm.ParseState(b)
	if err != nil {
		t.Fatalf("%v: %x", err, b)
	}
	return loaded
}

func ids(found []dm.Finding) (all []string) {
	for _, f := range found {
		all = append(all, strings.TrimPrefix(string(f.ID), "ima.validation.dm."))
	}
	return all
}

// A step is an event and the ids of its findings, without what they have in
// common.
type step struct {
	name, buf string
	want      []string
}

// tell judges a story, and returns the state at its end.
func tell(t *testing.T, p *dm.Policy, steps []step) dm.State {
	t.Helper()
	var s dm.State
	for i, st := range steps {
		var found []dm.Finding
		s, found = p.Judge(s, st.name, []byte(st.buf))
		if d := cmp.Diff(st.want, ids(found)); d != "" {
			t.Fatalf("step %d, %s\n%s: %s%v", i, st.name, st.buf, d, found)
		}
	}
	return s
}

// keylime are the events of Keylime's tests: of a verity device and of a linear
// device that is renamed.
func keylime(t testing.TB) (verity, linear map[string]string) {
	t.Helper()
	all := events(t)
	verity, linear = make(map[string]string), make(map[string]string)
	for _, m := range all[:5] {
		verity[m.name] = string(m.buf)
	}
	for _, m := range all[5:8] {
		linear[m.name] = string(m.buf)
	}
	linear["uuid"] = string(all[8].buf)
	return verity, linear
}

func TestKeylimesStoryOfAVerityDevice(t *testing.T) {
	e, _ := keylime(t)
	p := policy(t, "verity.json")
	loaded := []step{{dm.TableLoad, e[dm.TableLoad], nil}}
	s := tell(t, p, loaded)
	if d := cmp.Diff([]string{"device_invalid_state", "required_policy_not_in_use"}, ids(p.Outstanding(s))); d != "" {
		t.Errorf("after the load: %s", d)
	}
	active := append(loaded, step{dm.DeviceResume, e[dm.DeviceResume], nil})
	s = tell(t, p, active)
	if f := p.Outstanding(s); f != nil {
		t.Errorf("after the resume: %v", f)
	}
	for name, want := range map[string][]string{
		dm.DeviceRemove: {"dm_device_remove.device_removed"},
		dm.TableLoad:    {"dm_table_load.multiple_table_loads"},
		dm.TargetUpdate: {"dm_target_update.target_data_mismatch", "dm_target_update.target_data_invalid"},
		dm.TableClear:   {"dm_table_clear.table_cleared"},
		dm.DeviceResume: {"dm_device_resume.already_active"},
	} {
		tell(t, p, append(active, step{name, e[name], want}))
	}
}

func TestKeylimesEventsBeforeTheLoad(t *testing.T) {
	e, _ := keylime(t)
	for name, want := range map[string]string{
		dm.DeviceResume: "dm_device_resume.resume_before_table_load",
		dm.DeviceRemove: "dm_device_remove.remove_before_table_load",
		dm.TableClear:   "dm_table_clear.clear_before_table_load",
		dm.TargetUpdate: "dm_target_update.update_before_table_load",
	} {
		tell(t, policy(t, "verity.json"), []step{{name, e[name], []string{want}}})
	}
	_, e = keylime(t)
	tell(t, policy(t, "linear.json"), []step{{dm.DeviceRename, e[dm.DeviceRename], []string{"dm_device_rename.rename_before_table_load"}}})
}

func TestKeylimesStoryOfARename(t *testing.T) {
	_, e := keylime(t)
	tell(t, policy(t, "linear.json"), []step{
		{dm.TableLoad, e[dm.TableLoad], nil},
		{dm.DeviceResume, e[dm.DeviceResume], nil},
		{dm.DeviceRename, e[dm.DeviceRename], nil},
		{dm.DeviceRename, e[dm.DeviceRename], []string{"dm_device_rename.rename_before_table_load"}}, // the old name is gone
		{dm.DeviceRename, e["uuid"], []string{"dm_device_rename.new_uuid_invalid"}},
	})
}

// ruled is a policy with one rule for devices named by an expression, and with
// replacements in it.
func ruled(t testing.TB, name string, replace ...string) *dm.Policy {
	t.Helper()
	text := `{"match_on": "name", "rules": {"r": {
		"required": true, "device_resume_required": true,
		"device_rename": {"valid_name": null, "valid_uuid": null},
		"device_remove": {"allow_removal": true}, "allow_clear": true,
		"table_load": {"allow_multiple_loads": true, "name": ` + strconv.Quote(name) + `, "uuid": null, "major": 253, "minor": null,
			"minor_count": true, "num_targets": 2, "targets": [{}, {"start": 512}]}}}}`
	return parsed(t, strings.NewReplacer(replace...).Replace(text))
}

// Events of the device with that name.
func load(name string) string { return linear(name, "", 0, 2, 2) }

func resume(name, load string) string {
	return device(name) + fmt.Sprintf("active_table_hash=sha256:%x;current_device_capacity=4;", sha256.Sum256([]byte(load)))
}

func device(name string) string { return linear(name, "", 0, 0, 2) }

func cleared(name, load string) string {
	return device(name) + fmt.Sprintf("inactive_table_hash=sha256:%x;current_device_capacity=4;", sha256.Sum256([]byte(load)))
}

func removed(name, load string) string {
	return driver + "device_active_metadata=" + strings.TrimPrefix(device(name), driver) + fmt.Sprintf("active_table_hash=sha256:%x,remove_all=n;current_device_capacity=4;", sha256.Sum256([]byte(load)))
}

func renamed(name, to string) string {
	return device(name) + "new_name=" + to + ",new_uuid=;current_device_capacity=4;"
}

func TestI24_HostileStories(t *testing.T) {
	other := strings.ReplaceAll(load("a"), "7:0", "8:0")
	one := []string{"allow_multiple_loads\": true", "allow_multiple_loads\": false"}
	for _, c := range []struct {
		what    string
		replace []string
		steps   []step
	}{
		{"the same device twice", one, []step{
			{dm.TableLoad, load("a"), nil},
			{dm.TableLoad, load("a"), []string{"dm_table_load.multiple_table_loads"}},
		}},
		{"a table between load and resume", nil, []step{
			{dm.TableLoad, load("a"), nil},
			{dm.TableLoad, other, nil},
			{dm.DeviceResume, resume("a", load("a")), []string{"dm_device_resume.active_table_mismatch"}},
		}},
		{"a table that was refused and is resumed", one, []step{
			{dm.TableLoad, load("a"), nil},
			{dm.TableLoad, other, []string{"dm_table_load.multiple_table_loads"}},
			{dm.DeviceResume, resume("a", other), []string{"dm_device_resume.active_table_mismatch"}},
		}},
		{"a resume without a table", nil, []step{
			{dm.TableLoad, load("a"), nil},
			{dm.DeviceResume, driver + "name=a,uuid=;device_resume=no_data;current_device_capacity=0;", []string{"dm_device_resume.active_table_mismatch"}},
		}},
		{"a rename to another device's name", nil, []step{
			{dm.TableLoad, load("a"), nil},
			{dm.TableLoad, load("b"), nil},
			{dm.DeviceRename, renamed("a", "b"), []string{"dm_device_rename.name_in_use"}},
			{dm.DeviceResume, resume("a", load("a")), []string{"dm_device_resume.resume_before_table_load"}},
			{dm.DeviceResume, resume("b", load("b")), []string{"dm_device_resume.active_table_mismatch"}},
		}},
		{"a rename away and another device under the name", nil, []step{
			{dm.TableLoad, load("a"), nil},
			{dm.DeviceRename, renamed("a", "b"), nil},
			{dm.TableLoad, other, nil},
			{dm.DeviceResume, resume("b", load("a")), nil},
			{dm.DeviceResume, resume("a", load("a")), []string{"dm_device_resume.active_table_mismatch"}},
		}},
		{"a rename of a device without a table", nil, []step{
			{dm.TableLoad, load("a"), nil},
			{dm.DeviceRename, driver + "device_rename=no_data;new_name=a,new_uuid=;current_device_capacity=0;", []string{"dm_device_rename.rename_before_table_load"}},
		}},
		{"removal, then a load", one, []step{
			{dm.TableLoad, load("a"), nil},
			{dm.DeviceRemove, removed("a", load("a")), nil},
			{dm.DeviceResume, resume("a", load("a")), []string{"dm_device_resume.resume_before_table_load"}},
			{dm.TableLoad, other, nil},
			{dm.DeviceResume, resume("a", other), nil},
		}},
		{"a forbidden removal, then a load", append(one, `"allow_removal": true`, `"allow_removal": false`), []step{
			{dm.TableLoad, load("a"), nil},
			{dm.DeviceRemove, removed("a", load("a")), []string{"dm_device_remove.device_removed"}},
			{dm.TableLoad, load("a"), []string{"dm_table_load.multiple_table_loads"}},
		}},
		{"a clear that the rule allows", nil, []step{
			{dm.TableLoad, load("a"), nil},
			{dm.TableClear, cleared("a", load("a")), nil},
		}},
		{"targets in another order", nil, []step{
			{dm.TableLoad, device("a") + strings.TrimPrefix(linear("a", "", 1, 1, 2), device("a")) + strings.TrimPrefix(linear("a", "", 0, 1, 2), device("a")), []string{"parsing_failed"}},
			{dm.DeviceResume, resume("a", load("a")), []string{"dm_device_resume.resume_before_table_load"}},
		}},
		{"fewer targets than announced", nil, []step{{dm.TableLoad, linear("a", "", 0, 1, 2), []string{"dm_table_load.num_targets_mismatch"}}}},
		{"more targets than announced", nil, []step{{dm.TableLoad, linear("a", "", 0, 3, 2), []string{"dm_table_load.num_targets_mismatch"}}}},
		{"another number of targets", nil, []step{{dm.TableLoad, linear("a", "", 0, 3, 3), []string{"dm_table_load.invalid_entry"}}}},
		{"the rest of a table", nil, []step{{dm.TableLoad, linear("a", "", 1, 2, 2), []string{"dm_table_load.num_targets_mismatch"}}}},
		{"a target that the rule does not allow", nil, []step{
			{dm.TableLoad, strings.Replace(load("a"), "start=512;target_index=1", "start=0;target_index=1", 1), nil}, // any, says {}
			{dm.TableLoad, load("a")[:len(load("a"))-len("12;")] + "13;", []string{"dm_table_load.target_data_mismatch", "dm_table_load.target_data_invalid"}},
		}},
		{"an update of a target that no rule has", nil, []step{
			{dm.TableLoad, load("a"), nil},
			{dm.TargetUpdate, linear("a", "", 1, 1, 2), nil},
			{dm.TargetUpdate, linear("a", "", 2, 1, 2), []string{"dm_target_update.target_data_mismatch", "dm_target_update.target_data_invalid"}},
		}},
		{"an escape that moves a boundary", nil, []step{{dm.TableLoad, load(`a\`), []string{"parsing_failed"}}}},
		{"a device in a device's name", nil, []step{{dm.TableLoad, load(`a\,uuid\=`), []string{"dm_table_load.no_matching_policy"}}}},
		{"no device-mapper event", nil, []step{{"dm_device_create", load("a"), []string{"invalid_event_type"}}}},
		{"a device that no rule is for", nil, []step{{dm.TableLoad, load("c"), []string{"dm_table_load.no_matching_policy"}}}},
		{"a name that only begins well", nil, []step{{dm.TableLoad, load("ab"), []string{"dm_table_load.no_matching_policy"}}}},
	} {
		t.Run(c.what, func(t *testing.T) { tell(t, ruled(t, "a|b", c.replace...), c.steps) })
	}
}

func TestRenameInAPolicyThatMatchesOnUUID(t *testing.T) {
	p := ruled(t, "a", `"match_on": "name"`, `"match_on": "uuid"`, `"uuid": null`, `"uuid": ""`)
	named := linear("a", "u", 0, 0, 2)
	tell(t, p, []step{
		{dm.TableLoad, load("a"), nil},
		{dm.DeviceRename, device("a") + "new_name=a,new_uuid=u;current_device_capacity=4;", nil},
		{dm.DeviceResume, resume("a", load("a")), []string{"dm_device_resume.resume_before_table_load"}},
		{dm.DeviceResume, named + strings.TrimPrefix(resume("a", load("a")), device("a")), nil},
	})
}

func TestI25_NewNames(t *testing.T) {
	for _, c := range []struct {
		valid, name string
		ok          bool
	}{
		{`null`, "b", true}, {`false`, "b", false}, {`false`, "off", false}, {`true`, "on", false}, {`5`, "5", true},
		{`"b|c"`, "c", true}, {`"b|c"`, "bc", false}, {`"b.*"`, `b\=\,`, true},
	} {
		p := ruled(t, "a", `"valid_name": null`, `"valid_name": `+c.valid)
		var want []string
		if !c.ok {
			want = []string{"dm_device_rename.new_name_invalid"}
		}
		tell(t, p, []step{{dm.TableLoad, load("a"), nil}, {dm.DeviceRename, renamed("a", c.name), want}})
	}
	p := ruled(t, "a", `"device_rename": {"valid_name": null, "valid_uuid": null},`, "")
	tell(t, p, []step{
		{dm.TableLoad, load("a"), nil},
		{dm.DeviceRename, renamed("a", "a"), nil},
		{dm.DeviceRename, renamed("a", "b"), []string{"dm_device_rename.new_name_invalid"}},
	})
}

// TestI25_ReferencesMatchWholeValues are the cases of Keylime's test of its matching, and what its
// rules say besides.
func TestI25_ReferencesMatchWholeValues(t *testing.T) {
	for _, c := range []struct {
		reference string
		matches   []string
		not       []string
	}{
		{`null`, []string{"", "1", "x"}, nil},
		{`true`, []string{"y", "yes", "t", "TRUE", "on", "1"}, []string{"n", "0", "2", "", "x"}},
		{`false`, []string{"n", "no", "f", "false", "off", "0"}, []string{"y", "1", "2", "", "x"}},
		{`10`, []string{"10", "010"}, []string{"1", "100", "", "x", "10x"}},
		{`18446744073709551615`, []string{"18446744073709551615"}, []string{"-1"}},
		{`0`, []string{"0"}, []string{"n", ""}},
		{`"a|b|cc+"`, []string{"a", "b", "cc", "ccc"}, []string{"c", "ab", "xa", ""}},
		{`"10|20"`, []string{"10", "20"}, []string{"30", "1020"}},
		{`""`, []string{""}, []string{"x"}},
		{`"a)|(b"`, nil, nil},
		{`"\\Qa|b"`, []string{"a|b"}, []string{"a", "b"}},
	} {
		text := `{"match_on": "name", "rules": {"r": {"device_resume_required": false, "table_load": {"allow_multiple_loads": true, "name": "a",
			"uuid": null, "major": null, "minor": null, "minor_count": null, "num_targets": 1, "targets": [{"device_name": ` + c.reference + `}]}}}}`
		p, problems := dm.ParsePolicy([]byte(text))
		if p == nil {
			if c.matches != nil {
				t.Errorf("%s: %v", c.reference, problems)
			}
			continue
		}
		for i, v := range append(c.matches, c.not...) {
			_, found := p.Judge(dm.State{}, dm.TableLoad, []byte(strings.Replace(linear("a", "", 0, 1, 1), "7:0", v, 1)))
			if ok := len(found) == 0; ok != (i < len(c.matches)) {
				t.Errorf("%s and %q: %v", c.reference, v, found)
			}
		}
	}
}

func TestAttributesThatAreNotThere(t *testing.T) {
	mismatch := []string{"dm_table_load.target_data_mismatch", "dm_table_load.target_data_invalid"}
	absent := []string{"dm_table_load.target_attribute_not_found"}
	verity := string(events(t)[0].buf)
	mirror := string(events(t)[14].buf)
	for _, c := range []struct {
		buf, rule string
		want      []string
	}{
		{verity, `"verity_mode": null`, nil},                    // optional
		{verity, `"verity_mode": ""`, mismatch},                 // Keylime: None is not ""
		{verity, `"verity_mode": ".*"`, mismatch},               //
		{verity, `"cipher_string": null`, absent},               // of another type
		{verity, `"hash_failed": "C"`, mismatch},                //
		{verity, `"salt": null, "hash_failed": true`, mismatch}, // V is neither
		{mirror, `"mirror_device_data": null`, nil},
		{verity, `"mirror_device_data": null`, absent},
		{mirror, `"mirror_device_0": "7:3", "mirror_device_1_status": "A", "log_type_status": ""`, nil},
		{mirror, `"mirror_device_2": "7:3"`, absent},
	} {
		p := ruled(t, ".*", `"num_targets": 2, "targets": [{}, {"start": 512}]`, `"num_targets": 1, "targets": [{`+c.rule+`}]`)
		_, found := p.Judge(dm.State{}, dm.TableLoad, []byte(c.buf))
		if d := cmp.Diff(c.want, ids(found)); d != "" {
			t.Errorf("%s: %s", c.rule, d)
		}
	}
}

// TestOutstanding tells what a rule still wants after each event of a story.
func TestOutstanding(t *testing.T) {
	var (
		invalid = []string{"device_invalid_state", "required_policy_not_in_use"}
		missing = []string{"required_policy_not_in_use"}
	)
	loaded := step{dm.TableLoad, load("a"), nil}
	active := []step{loaded, {dm.DeviceResume, resume("a", load("a")), nil}}
	for _, c := range []struct {
		what    string
		replace []string
		steps   []step
		want    []string
	}{
		{"nothing seen", nil, nil, missing},
		{"nothing required", []string{`"required": true`, `"required": false`}, nil, nil},
		{"loaded", nil, []step{loaded}, invalid},
		{"loaded, which is enough", []string{`"device_resume_required": true`, `"device_resume_required": false`}, []step{loaded}, nil},
		{"resumed", nil, active, nil},
		{"removed", nil, append(active, step{dm.DeviceRemove, removed("a", load("a")), nil}), missing},
		{"removed against the rule", []string{`"allow_removal": true`, `"allow_removal": false`},
			append(active, step{dm.DeviceRemove, removed("a", load("a")), []string{"dm_device_remove.device_removed"}}), invalid},
		{"cleared against the rule", []string{`"allow_clear": true`, `"allow_clear": false`},
			append(active, step{dm.TableClear, cleared("a", load("a")), []string{"dm_table_clear.table_cleared"}}), invalid},
		{"resumed again", nil, append(active, step{dm.DeviceResume, resume("a", load("a")), []string{"dm_device_resume.already_active"}}), invalid},
		{"resumed with another table", []string{`"device_resume_required": true`, `"device_resume_required": false`},
			[]step{loaded, {dm.DeviceResume, resume("a", load("b")), []string{"dm_device_resume.active_table_mismatch"}}}, invalid},
		{"renamed", nil, append(active, step{dm.DeviceRename, renamed("a", "b"), nil}), nil},
		{"renamed against the rule", []string{`"valid_name": null`, `"valid_name": "c"`},
			append(active, step{dm.DeviceRename, renamed("a", "b"), []string{"dm_device_rename.new_name_invalid"}}), invalid},
		{"given a uuid against the rule", []string{`"valid_uuid": null`, `"valid_uuid": "c"`},
			append(active, step{dm.DeviceRename, device("a") + "new_name=a,new_uuid=u;current_device_capacity=4;", []string{"dm_device_rename.new_uuid_invalid"}}), invalid},
		{"renamed to a name that is there", []string{`"device_resume_required": true`, `"device_resume_required": false`},
			append(active, step{dm.TableLoad, load("b"), nil}, step{dm.DeviceRename, renamed("a", "b"), []string{"dm_device_rename.name_in_use"}}), invalid},
	} {
		t.Run(c.what, func(t *testing.T) {
			p := ruled(t, "a|b", c.replace...)
			if d := cmp.Diff(c.want, ids(p.Outstanding(tell(t, p, c.steps)))); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestStatesDoNotShare goes on from one state in two ways.
func TestStatesDoNotShare(t *testing.T) {
	p := ruled(t, ".*")
	var s dm.State
	for i := range 5 { // so that a slice has room
		s, _ = p.Judge(s, dm.TableLoad, []byte(load("d"+strconv.Itoa(i))))
	}
	one, _ := p.Judge(s, dm.TableLoad, []byte(load("x")))
	p.Judge(s, dm.TableLoad, []byte(load("y")))
	if _, found := p.Judge(one, dm.DeviceResume, []byte(resume("x", load("x")))); found != nil {
		t.Error(found)
	}
}

func TestI04_FindingsAreShort(t *testing.T) {
	p := ruled(t, "a", `"start": 512`, `"start": "`+strings.Repeat("x", 199)+`é.*"`)
	_, found := p.Judge(dm.State{}, dm.TableLoad, []byte(strings.ReplaceAll(load("a"), "512", strings.Repeat("5", 300))))
	if want := strings.Repeat("x", 199) + "..."; len(found) == 0 || found[0].Expected != want || len(found[0].Got) != 203 || len(found[0].Message) > 250 {
		t.Errorf("%q, want %s", found, want)
	}
}

func TestFindingsShowBothValues(t *testing.T) {
	p := ruled(t, "a", `"start": 512`, `"start": "51[3-9]"`)
	_, found := p.Judge(dm.State{}, dm.TableLoad, []byte(load("a")))
	want := []dm.Finding{
		{"ima.validation.dm.dm_table_load.target_data_mismatch", `target 1: start is "512"`, "512", "51[3-9]"},
		{"ima.validation.dm.dm_table_load.target_data_invalid", `target 1, "linear", is not what the rule allows`, "", ""},
	}
	if d := cmp.Diff(want, found); d != "" {
		t.Error(d)
	}
}

func TestI04_DevicesAreBounded(t *testing.T) {
	p := ruled(t, ".*")
	var s dm.State
	var found []dm.Finding
	for i := range dm.MaxDevices {
		if s, found = p.Judge(s, dm.TableLoad, []byte(load("d"+strconv.Itoa(i)))); found != nil {
			t.Fatal(found)
		}
	}
	if s, found = p.Judge(s, dm.TableLoad, []byte(load("d1"))); found != nil {
		t.Errorf("a device that is there: %v", found)
	}
	if s, found = p.Judge(s, dm.TableLoad, []byte(load("e"))); ids(found) == nil || found[0].ID != dm.TooManyDevices || s.Len() != dm.MaxDevices {
		t.Errorf("%d devices, %v", s.Len(), found)
	}
	again(t, s)
	_, found = p.Judge(dm.State{}, dm.TableLoad, []byte(load("a")))
	if many := p.Outstanding(s); len(many) != dm.MaxFindings || found != nil {
		t.Errorf("%d findings, %v", len(many), found)
	}
}

// TestJudgingInParts judges random lists at once and with the state stored and
// loaded after every event: findings and what is outstanding are the same, and no
// earlier state changes.
func TestJudgingInParts(t *testing.T) {
	p := ruled(t, "[ab]", `"valid_name": null`, `"valid_name": "[abc]"`, `"allow_clear": true`, `"allow_clear": false`)
	var pool []step
	for _, n := range []string{"a", "b", "c"} {
		other := strings.ReplaceAll(load(n), "7:0", "8:0")
		pool = append(pool, step{dm.TableLoad, load(n), nil}, step{dm.TableLoad, other, nil},
			step{dm.DeviceResume, resume(n, load(n)), nil}, step{dm.DeviceResume, resume(n, other), nil},
			step{dm.DeviceRemove, removed(n, other), nil}, step{dm.TableClear, cleared(n, load(n)), nil},
			step{dm.DeviceRename, renamed(n, "a"), nil}, step{dm.DeviceRename, renamed(n, "d"), nil},
			step{dm.DeviceRename, renamed(n, "b"), nil}, step{dm.TargetUpdate, linear(n, "", 1, 1, 2), nil})
	}
	seen := make(map[wire.FailureID]int)
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		var whole, parts dm.State
		for range 40 {
			e := pool[r.IntN(len(pool))]
			before, _ := whole.MarshalBinary()
			next, a := p.Judge(whole, e.name, []byte(e.buf))
			after, _ := whole.MarshalBinary()
			if string(before) != string(after) {
				t.Fatalf("seed %d: %s changed an earlier state", seed, e.buf)
			}
			var b []dm.Finding
			whole = next
			parts, b = p.Judge(again(t, parts), e.name, []byte(e.buf))
			if d := cmp.Diff(a, b); d != "" {
				t.Fatalf("seed %d: %s", seed, d)
			}
			if d := cmp.Diff(p.Outstanding(whole), p.Outstanding(parts)); d != "" {
				t.Fatalf("seed %d: %s", seed, d)
			}
			for _, f := range a {
				seen[f.ID]++
			}
		}
	}
	if len(seen) < 10 {
		t.Errorf("the lists are too tame: %v", seen)
	}
}

func TestStateUnderAnotherPolicy(t *testing.T) {
	s := tell(t, ruled(t, "a"), []step{{dm.TableLoad, load("a"), nil}})
	p := ruled(t, "a", `"r": {`, `"other": {`)
	if _, found := p.Judge(s, dm.DeviceResume, []byte(resume("a", load("a")))); len(found) != 1 || found[0].ID != dm.NoRule {
		t.Errorf("%v", found)
	}
}

func TestI04_StatesAreReadStrictly(t *testing.T) {
	s := tell(t, ruled(t, "a|b"), []step{{dm.TableLoad, load("a"), nil}, {dm.TableLoad, load("b"), nil}})
	b, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for cut := range b {
		if _, err := dm.ParseState(b[:cut]); err == nil {
			t.Errorf("the first %d bytes are accepted", cut)
		}
	}
	half := len(b[1:]) / 2
	long := func(n int) []byte { // one device, whose rule has a name of n bytes
		b := append([]byte{0x81, 0x85, 0x61, 'a', 0x7a}, binary.BigEndian.AppendUint32(nil, uint32(n))...)
		b = append(b, bytes.Repeat([]byte("r"), n)...)
		return append(append(b, 0x58, 32), append(make([]byte, 32), 0xf4, 0xf4)...)
	}
	for what, bad := range map[string][]byte{
		"a byte more":         append(b[:len(b):len(b)], 0),
		"a device twice":      append(append([]byte{0x82}, b[1:1+half]...), b[1:1+half]...),
		"a longer length":     append([]byte{0x98, 2}, b[1:]...),
		"null":                {0xf6},
		"a map":               {0xa0},
		"more than the bound": long(dm.MaxState),
	} {
		if _, err := dm.ParseState(bad); err == nil {
			t.Errorf("%s is accepted: %x", what, bad[:min(len(bad), 100)])
		}
	}
	if _, err := dm.ParseState(long(dm.MaxState - 100)); err != nil {
		t.Error(err)
	}
	if s, err := dm.ParseState([]byte{0x80}); err != nil || s.Len() != 0 {
		t.Errorf("nothing seen: %v", err)
	}
}
