package imapolicy

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func parse(t testing.TB, text string) Policy {
	t.Helper()
	p, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEveryOptionIsRead(t *testing.T) {
	p := parse(t, "# a comment\n\n \t measure \tfunc=PATH_CHECK mask=^MAY_READ fsmagic=0xEF53 fsname=ext4 uid<100 egid>0 fowner=0 fgroup=1 pcr=11 template=ima-sig "+
		"fsuuid=01234567-89ab-cdef-0123-456789ABCDEF obj_user=a obj_role=b obj_type=c subj_user=d subj_role=e subj_type=f digest_type=verity permit_directio\n"+
		"measure func=KEY_CHECK keyrings=.ima|.evm uid=0\nmeasure func=CRITICAL_DATA label=selinux\n"+
		"appraise func=SETXATTR_CHECK appraise_algos=sha256,sha512\nappraise appraise_type=imasig|modsig appraise_flag=check_blacklist\n"+
		"dont_appraise\naudit func=FILE_MMAP\nhash func=MODULE_CHECK\ndont_hash gid=1")
	var got []string
	for _, r := range p {
		got = append(got, r.String())
	}
	want := []string{
		"measure func=FILE_CHECK mask=^MAY_READ fsmagic=0xEF53 fsname=ext4 uid<100 egid>0 fowner=0 fgroup=1 " +
			"fsuuid=01234567-89ab-cdef-0123-456789ABCDEF obj_user=a obj_role=b obj_type=c subj_user=d subj_role=e subj_type=f pcr=11 template=ima-sig",
		"measure func=KEY_CHECK keyrings=.ima|.evm uid=0", "measure func=CRITICAL_DATA label=selinux",
		"appraise func=SETXATTR_CHECK", "appraise", "dont_appraise", "audit func=MMAP_CHECK", "hash func=MODULE_CHECK", "dont_hash gid=1",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if p[0].Line != 3 || len(p.OtherPCRs()) != 1 {
		t.Errorf("%+v", p[0])
	}
}

func TestI04_I21_WhatTheKernelRefusesIsRefused(t *testing.T) {
	for _, line := range []string{
		"func=FILE_CHECK", "measure measure", "measure appraise", "measured", "measure func=FILE", "measure func=", "measure func=FILE_CHECK func=FILE_CHECK",
		"measure mask=READ", "measure mask=^", "measure mask=MAY_READ mask=MAY_EXEC", "measure fsmagic=0x", "measure fsmagic=ext4", "measure fsmagic=1 fsmagic=1",
		"measure uid=-1", "measure uid=root", "measure uid=4294967296", "measure uid=0 euid=0", "measure gid=1 egid>1", "measure fsmagic>1", "measure func<FILE_CHECK",
		"measure fsuuid=1", "measure fsuuid=01234567-89ab-cdef-0123-456789abcdeg", "measure fsuuid=01234567089ab-cdef-0123-456789abcdef",
		"measure pcr=32", "measure pcr=x", "dont_measure pcr=10", "template=ima-ng measure", "appraise template=ima-ng", "measure template=",
		"measure appraise_type=imasig", "appraise appraise_type=sig", "measure digest_type=sha", "measure FILE_CHECK", "measure # a comment behind",
		"measure keyrings=.ima", "measure func=FILE_CHECK label=x", "measure func=KEY_CHECK keyrings=a||b", "measure func=KEY_CHECK keyrings=",
		"measure func=KEY_CHECK fsmagic=1", "measure func=KEY_CHECK mask=MAY_READ", "appraise func=KEY_CHECK", "measure func=KEY_CHECK label=x",
		"measure func=CRITICAL_DATA keyrings=.ima", "appraise func=CRITICAL_DATA", "measure func=CRITICAL_DATA obj_type=x",
		"appraise func=KEXEC_CMDLINE", "measure func=KEXEC_CMDLINE mask=MAY_READ", "measure func=SETXATTR_CHECK", "appraise func=SETXATTR_CHECK",
		"measure\rfunc=FILE_CHECK",
	} {
		p, err := Parse("measure\n" + line)
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "line 2: ") {
			t.Errorf("%q: %v, %v", line, p, err)
		}
	}
	if _, err := Parse(strings.Repeat("#", MaxPolicy+1)); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
}

func TestI21_Coverage(t *testing.T) {
	exec := Question{Hook: BPRMCheck}
	read := Question{Hook: FileCheck, Root: true}
	for _, c := range []struct {
		policy string
		q      Question
		want   string // "full", "none", "only …" and "except …"
	}{
		{"", exec, "none"},
		{"appraise", exec, "none"},
		{"measure", exec, "full"},
		{"measure", Question{Hook: KexecCmdline}, "full"},
		{"measure", Question{Hook: KeyCheck}, "none"},
		{"measure", Question{Hook: CriticalData}, "none"},
		{"measure func=BPRM_CHECK", exec, "full"},
		{"measure func=MMAP_CHECK", exec, "none"},
		{"measure func=BPRM_CHECK mask=MAY_EXEC", exec, "full"},
		{"measure func=BPRM_CHECK mask=MAY_READ", exec, "none"},
		{"measure func=MODULE_CHECK mask=^MAY_READ", Question{Hook: ModuleCheck}, "full"},
		{"measure mask=MAY_READ", Question{Hook: KexecCmdline}, "none"},
		{"measure func=BPRM_CHECK uid=0", exec, "only 1"},
		{"measure func=BPRM_CHECK uid=0\nmeasure func=BPRM_CHECK", exec, "full"},
		{"dont_measure\nmeasure", exec, "none"},
		{"measure\ndont_measure", exec, "full"},
		{"dont_measure func=MMAP_CHECK\nmeasure", exec, "full"},
		{"dont_measure fsmagic=0x1021994\nmeasure func=BPRM_CHECK", exec, "except 1"},
		{"dont_measure fsmagic=0x9FA0\nmeasure func=BPRM_CHECK", exec, "full"},
		{"dont_measure fsmagic=0x9fa1\nmeasure func=BPRM_CHECK", exec, "except 1"},
		{"dont_measure fsmagic=0x1021994\nmeasure func=MMAP_CHECK", exec, "none"},
		{"dont_measure obj_type=x\nmeasure func=BPRM_CHECK fowner=0", exec, "only 2 except 1"},
		{"measure func=FILE_CHECK mask=^MAY_READ uid=0", read, "full"},
		{"measure func=FILE_CHECK mask=^MAY_READ uid=0", Question{Hook: FileCheck}, "only 1"},
		{"measure func=FILE_CHECK mask=^MAY_READ euid<1", read, "full"},
		{"measure func=FILE_CHECK mask=^MAY_READ uid>0", read, "none"},
		{"measure func=FILE_CHECK mask=^MAY_READ uid=33", read, "none"},
		{"measure func=FILE_CHECK mask=MAY_READ uid=0", read, "only 1"},
		{"measure func=FILE_CHECK mask=^MAY_WRITE", read, "none"},
		{"dont_measure uid=0\nmeasure func=FILE_CHECK", read, "none"},
		{"measure func=CRITICAL_DATA label=selinux", Question{Hook: CriticalData}, "only 1"},
		{"measure func=CRITICAL_DATA label=a|device-mapper", Question{Hook: CriticalData, Data: "device-mapper"}, "full"},
		{"measure func=CRITICAL_DATA label=selinux", Question{Hook: CriticalData, Data: "device-mapper"}, "none"},
		{"measure func=KEY_CHECK keyrings=.ima", Question{Hook: KeyCheck, Data: ".ima"}, "full"},
		{"measure func=KEY_CHECK keyrings=.ima", Question{Hook: KeyCheck, Data: ".im"}, "none"},
	} {
		got := say(parse(t, c.policy).Covers(c.q))
		if got != c.want {
			t.Errorf("%q covers of %+v %q, want %q", c.policy, c.q, got, c.want)
		}
	}
}

func say(c Coverage) string {
	if !c.Measured {
		return "none"
	}
	if c.Full() {
		return "full"
	}
	var words []string
	for _, r := range c.Only {
		words = append(words, "only "+string(rune('0'+r.Line)))
	}
	for _, r := range c.Except {
		words = append(words, "except "+string(rune('0'+r.Line)))
	}
	return strings.Join(words, " ")
}

// wanted is what a complete policy covers.
var wanted = []Question{
	{Hook: BPRMCheck}, {Hook: MMAPCheck}, {Hook: ModuleCheck}, {Hook: FirmwareCheck}, {Hook: PolicyCheck}, {Hook: KexecKernelCheck},
	{Hook: KexecInitramfsCheck}, {Hook: KexecCmdline}, {Hook: KeyCheck}, {Hook: CriticalData},
}

func TestTheShippedPolicyIsComplete(t *testing.T) {
	text, err := os.ReadFile("../../packaging/ima-policy")
	if err != nil {
		t.Fatal(err)
	}
	p := parse(t, string(text))
	for _, q := range wanted {
		if c := p.Covers(q); !c.Full() {
			t.Errorf("%+v: %s", q, say(c))
		}
	}
	read := p.Covers(Question{Hook: FileCheck, Root: true})
	if !read.Measured || len(read.Only) != 0 || len(read.Except) != 1 || read.Except[0].String() != "dont_measure func=FILE_CHECK fsmagic=0x1021994" {
		t.Errorf("what root reads: %+v", read)
	}
	// Without any one of its rules that measure it is not: none is there for nothing.
	for i, r := range p {
		if r.Action != Measure || r.Hook == FileCheck {
			continue
		}
		less := append(append(Policy{}, p[:i]...), p[i+1:]...)
		if less.Covers(Question{Hook: r.Hook}).Measured {
			t.Errorf("%s is there twice", r)
		}
	}
	for n, line := range strings.Split(string(text), "\n") {
		if len(line) >= 4096 { // systemd writes a line at a time, of which the kernel takes a page
			t.Errorf("line %d is too long", n+1)
		}
	}
}

func TestBuiltInPolicies(t *testing.T) {
	for _, c := range []struct {
		cmdline string
		names   []string
		covered int // of wanted, fully
		some    int // measured at all
	}{
		{"root=/dev/vda1 quiet", nil, 0, 0},
		{"ima_policy=tcb", []string{"tcb"}, 0, 5},
		{"ima_tcb", []string{"ima_tcb"}, 0, 4},
		{"ima_tcb ima_policy=tcb", []string{"ima_tcb", "tcb"}, 0, 4},
		{`ima_policy="tcb critical_data"`, []string{"tcb", "critical_data"}, 1, 6},
		{`"ima_policy=tcb|critical_data" x`, []string{"tcb", "critical_data"}, 1, 6},
		{"ima_policy=tcb ima_policy=critical_data\n", []string{"tcb", "critical_data"}, 1, 6},
		{"ima_policy=secure_boot", []string{"secure_boot"}, 0, 0},
		{"init=/bin/sh -- ima_policy=tcb", nil, 0, 0},
	} {
		p, names := BuiltIn(c.cmdline)
		covered, some := 0, 0
		for _, q := range wanted {
			if v := p.Covers(q); v.Full() {
				covered++
			}
			if p.Covers(q).Measured {
				some++
			}
		}
		if !cmp.Equal(names, c.names) || covered != c.covered || some != c.some {
			t.Errorf("%q: %q, %d covered, %d measured", c.cmdline, names, covered, some)
		}
	}
	for _, text := range []string{originalTCB, defaultTCB, criticalData} {
		parse(t, text)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(defaultTCB)
	f.Add("measure func=KEY_CHECK keyrings=.ima|.evm uid<1 pcr=11 template=ima-buf")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err != nil {
			return
		}
		for _, q := range wanted {
			p.Covers(q)
		}
		for _, r := range p {
			again, err := Parse(r.String())
			if r.Hook == "SETXATTR_CHECK" {
				continue // what it needs is not shown
			}
			if err != nil || len(again) != 1 || again[0].String() != r.String() {
				t.Errorf("%q reads as %v, %v", r.String(), again, err)
			}
		}
	})
}
