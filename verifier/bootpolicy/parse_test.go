package bootpolicy_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"quicklime/verifier/bootpolicy"
	"quicklime/verifier/policy"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// keylime is a reference state as Keylime's create_mb_refstate writes it, of the
// boot of the capture with Secure Boot: members of ours taken out, the command line
// escaped as Python does.
func keylime(t testing.TB) string {
	t.Helper()
	b := events(t, verifiertest.BootLog(t, secureBoot))
	hex := func(i int) string { return fmt.Sprintf("0x%x", b[i].digest) }
	made, err := bootpolicy.Create(nil, captured(t, secureBoot))
	if err != nil {
		t.Fatal(err)
	}
	text := string(made)
	kernels := fmt.Sprintf(`"kernels": [{"shim_authcode_sha256": %q, "grub_authcode_sha256": %q, "kernel_authcode_sha256": %q, "initrd_plain_sha256": %q,
 "kernel_cmdline": "/vmlinuz\\ console=ttyS0\\ panic=\\-1\\ .*"}]`, hex(23), hex(29), hex(41), hex(45))
	return text[:strings.Index(text, `"kernels"`)] + kernels + "}"
}

// I20: Keylime's reference states load unchanged, judge, and tell what they leave to
// names.
func TestI20_KeylimesReferenceState(t *testing.T) {
	p := parse(t, keylime(t))
	if fails := p.Judge(captured(t, secureBoot)); len(fails) > 0 {
		t.Errorf("%+v", fails)
	}
	if w := strings.Join(p.Warnings(), "\n"); !strings.Contains(w, "kernels[0] has no boot_files") || !strings.Contains(w, "kernels[0] has no grub_commands") || !strings.Contains(w, "option_roms") {
		t.Error(w)
	}
	for says, do := range map[string]func([]event) []event{
		"the initrd is another one":              func(b []event) []event { return other(b, 45) },
		"the kernel command line is another one": func(b []event) []event { b[43] = line("grub_cmd", "/vmlinuz init=/bin/sh"); return b },
		"no rule accepts EV_IPL, \"/boot/evil": func(b []event) []event {
			return append(b, measured(9, 0xd, "/boot/evil and x\x00"))
		},
		"no rule accepts EV_COMPACT_HASH, which": func(b []event) []event {
			b[34].kind, b[34].data = 0xc, []byte("x")
			return b
		},
	} {
		fails := p.Judge(booted(t, do(events(t, verifiertest.BootLog(t, secureBoot))), nil))
		if !slices.ContainsFunc(fails, func(f wire.Failure) bool { return f.ID == example && strings.Contains(f.Message, says) }) {
			t.Errorf("want %q: %+v", says, fails)
		}
	}
}

// What is judged beside Keylime's members.
func TestI20_Extensions(t *testing.T) {
	text := keylime(t)
	in := func(members string) *bootpolicy.Policy { return parse(t, text[:len(text)-1]+", "+members+"}") }
	b := events(t, verifiertest.BootLog(t, secureBoot))
	absent := strings.Repeat("ab", 32)
	listed := fmt.Sprintf("%x", b[7].data[len(b[7].data)-32:])
	rom := measured(2, 0x80000004, "rom")
	for _, c := range []struct {
		name string
		p    *bootpolicy.Policy
		b    []event
		says string // empty: accepted
	}{
		{"a revocation that dbx has", in(`"revocations": ["` + listed + `"]`), b, ""},
		{"a revocation that dbx lacks", in(`"revocations": ["` + absent + `"]`), b, "dbx lacks 1 of the 2 entries"},
		{"no driver is allowed", in(`"option_roms": []`), slices.Insert(slices.Clone(b), 9, rom), "a driver that option_roms does not list"},
		{"a driver that is listed", in(`"option_roms": [{"sha256": "` + fmt.Sprintf("%x", rom.digest) + `"}]`), slices.Insert(slices.Clone(b), 9, rom), ""},
		{"any driver", parse(t, text), slices.Insert(slices.Clone(b), 9, rom), ""},
		{"an event that is listed", in(`"events": {"6": [{"sha256": "` + fmt.Sprintf("%x", rom.digest) + `"}]}`), append(slices.Clone(b), event{6, 0x1, rom.digest, nil}), ""},
		{"an event that is not", in(`"events": {"6": [{"sha256": "` + absent + `"}]}`), append(slices.Clone(b), event{6, 0x1, rom.digest, nil}), "PCR 6, event 50: no rule accepts"},
	} {
		fails := c.p.Judge(booted(t, c.b, nil))
		if c.says == "" && len(fails) > 0 || c.says != "" && (len(fails) != 1 || !strings.Contains(fails[0].Message, c.says)) {
			t.Errorf("%s: %+v", c.name, fails)
		}
	}
}

// I20: PCR 11 is what the unified kernel image leads to, or that and phases of
// systemd after it; nothing else, and PCRs 12 and 13 have nothing that is not listed.
func TestI20_UnifiedKernelImages(t *testing.T) {
	image := pcr.SHA256.Extend(make([]byte, 32), pcr.SHA256.Sum([]byte(".linux\x00")))
	text := strings.Replace(keylime(t), `"kernel_cmdline"`, fmt.Sprintf(`"pcr_11_sha256": "0x%x", "kernel_cmdline"`, image), 1)
	p := parse(t, text)
	if p.PCRs() != pcr.Range(0, 9)|pcr.Range(11, 14) {
		t.Errorf("%v", p.PCRs())
	}
	b := events(t, verifiertest.BootLog(t, secureBoot))
	phase := func(of []byte, names ...string) []byte {
		for _, n := range names {
			of = pcr.SHA256.Extend(of, pcr.SHA256.Sum([]byte(n)))
		}
		return of
	}
	options := func(text string) event {
		return measured(12, 0xd, strings.Join(strings.Split(text, ""), "\x00")+"\x00")
	}
	for _, c := range []struct {
		name string
		b    []event
		set  map[int][]byte
		says string
		id   wire.FailureID
	}{
		{"in the initrd", b, map[int][]byte{11: phase(image, "enter-initrd")}, "", ""},
		{"started", b, map[int][]byte{11: phase(image, "enter-initrd", "leave-initrd", "sysinit", "ready")}, "", ""},
		{"image alone", b, map[int][]byte{11: image}, "", ""},
		{"a phase left out", b, map[int][]byte{11: phase(image, "leave-initrd")}, "do not lead to", example},
		{"another image", b, map[int][]byte{11: phase(make([]byte, 32), "enter-initrd")}, "do not lead to", example},
		{"something in PCR 13", b, map[int][]byte{11: image, 13: image}, "PCR 13", "measured_boot.invalid_pcr_13"},
		{"an extension in PCR 13", append(slices.Clone(b), measured(13, 0xd, "ext")), map[int][]byte{11: image}, "PCR 13, event 50: no rule", example},
		{"its command line", append(slices.Clone(b), options("/vmlinuz console=ttyS0 panic=-1 x")), map[int][]byte{11: image}, "", ""},
		{"another command line", append(slices.Clone(b), options("init=/bin/sh")), map[int][]byte{11: image}, "PCR 12, event 50: the kernel command line is another one", example},
	} {
		fails := p.Judge(booted(t, c.b, c.set))
		if c.says == "" && len(fails) > 0 || c.says != "" && (len(fails) != 1 || fails[0].ID != c.id || !strings.Contains(fails[0].Message, c.says)) {
			t.Errorf("%s: %+v", c.name, fails)
		}
	}
}

// The values of one boot are of one kernel, and the nearest is told of.
func TestI20_AllOfOneKernel(t *testing.T) {
	one := captured(t, secureBoot)
	next := events(t, verifiertest.BootLog(t, secureBoot))
	next = other(other(other(next, 41), 42), 45) // kernel and initrd of an update
	p := created(t, one, booted(t, next, nil))
	if p.Kernels() != 2 || p.Firmwares() != 1 {
		t.Fatalf("%d kernels, %d firmwares", p.Kernels(), p.Firmwares())
	}
	if f := slices.Concat(p.Judge(one), p.Judge(booted(t, next, nil))); len(f) > 0 {
		t.Errorf("%+v", f)
	}
	mixed := other(events(t, verifiertest.BootLog(t, secureBoot)), 45)
	fails := p.Judge(booted(t, mixed, nil))
	if len(fails) == 0 || !strings.Contains(fails[0].Message, "; nearest of 2 is kernels[0]") && !strings.Contains(fails[0].Message, "; nearest of 2 is kernels[1]") {
		t.Errorf("old kernel and new initrd: %+v", fails)
	}
}

// Expressions of a few bytes each do not ask for all the memory there is, however many
// they are.
func TestI04_ExpressionsAreBoundedTogether(t *testing.T) {
	var all []string
	for i := range 300 {
		all = append(all, fmt.Sprintf(`"%d(aaaaaaaaaa){1000}"`, i))
	}
	text := strings.Replace(minimal, "[{}]", `[{"grub_commands": [`+strings.Join(all, ",")+`]}]`, 1)
	_, err := bootpolicy.Parse([]byte(text))
	var problems *policy.Error
	if !errors.As(err, &problems) || len(problems.Problems) != 1 || !strings.HasPrefix(problems.Problems[0].Place, "kernels[0].grub_commands[1") || !strings.Contains(problems.Problems[0].Text, "instructions") {
		t.Errorf("%+v, %v", problems, err)
	}
	few := strings.Replace(minimal, "[{}]", `[{"grub_commands": [`+strings.Join(all[:100], ",")+`]}]`, 1)
	if _, err := bootpolicy.Parse([]byte(few)); err != nil {
		t.Errorf("a hundred: %v", err)
	}
}

// What a text quotes to its end is not the end of the group around it.
func TestI20_QuotedToTheEnd(t *testing.T) {
	p, err := bootpolicy.Parse([]byte(strings.Replace(minimal, "[{}]", `[{"kernel_cmdline": "/vmlinuz \\Qa.b"}]`, 1)))
	if err != nil || p.Kernels() != 1 {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestI20_CreateRefuses(t *testing.T) {
	if _, err := bootpolicy.Create(nil); err == nil {
		t.Error("no log")
	}
	if _, err := bootpolicy.Create(nil, captured(t, secureBoot), captured(t, "ovmf-6.1-ima-ng")); err == nil || !strings.Contains(err.Error(), "log 2: Secure Boot is off, in the first log it is on") {
		t.Error(err)
	}
}

const minimal = `{"scrtm_and_bios": [], "pk": [], "kek": [], "db": [], "dbx": [], "mokdig": [], "mokxdig": [], "kernels": [{}]}`

// I04: each problem is told with its place, its line and what to write instead.
func TestI04_I20_ReferenceStatesThatAreRefused(t *testing.T) {
	parse(t, minimal)
	in := func(member, value string) string { return "{\n" + `"` + member + `": ` + value + "," + minimal[1:] }
	for text, want := range map[string]string{
		"":                       "not JSON: the text ends",
		"[]":                     "an array, want an object",
		"{}":                     "it says nothing",
		`{"scrtm_and_bios": []}`: "kernels: missing: write \"kernels\": [] if there is none",
		minimal + "x":            "something follows",
		"\xff":                   "not UTF-8",
		strings.Replace(minimal, "[{}]", "[]", 1): "kernels: empty",
		in("has_secureboot", `"yes"`):             "line 2: has_secureboot: a string, want true or false",
		in("pk", "[]"):                            "pk: the name is there twice",
		in("vendor_db", `[{"SignatureOwner": "x", "SignatureData": "0x00"}]`):                                              `line 2: vendor_db[0].SignatureOwner: "x" is no GUID`,
		in("vendor_db", `[{"SignatureData": "0x00"}]`):                                                                     "vendor_db[0]: a key has SignatureOwner",
		in("revocations", `["0x00"]`):                                                                                      "revocations[0]: 1 bytes in hexadecimal, want 32",
		in("revocations", `["0xzz"]`):                                                                                      "want 0x and hexadecimal digits",
		in("option_roms", `[{"md5": "0x00"}]`):                                                                             `option_roms[0].md5: "md5" is no hash`,
		in("option_roms", `[{}]`):                                                                                          "option_roms[0]: a digest is missing",
		in("events", `{"10": []}`):                                                                                         "events.10: want a PCR",
		in("events", `{"01": []}`):                                                                                         "want a PCR that can be judged",
		strings.Replace(minimal, "[{}]", `[{"kernel_cmdline": "(?=x)"}]`, 1):                                               "kernels[0].kernel_cmdline: error parsing regexp",
		strings.Replace(minimal, "[{}]", `[{"shim_authcode_sha256": 1}]`, 1):                                               "kernels[0].shim_authcode_sha256: a number, want a string",
		strings.Replace(minimal, `s": []`, `s": [{"scrtm": {"sha1": "0x"}}]`, 1):                                           "scrtm_and_bios[0].scrtm.sha1",
		in("x", strings.Repeat("[", 40)+strings.Repeat("]", 40)):                                                           "levels deep",
		in("x", "["+strings.Repeat("0,", bootpolicy.MaxValues)+"0]"):                                                       "more than 262144 values",
		in("kernels", "["+strings.Repeat("{},", bootpolicy.MaxAlternatives)+"{}]"):                                         "1001 elements, the limit is 1000",
		in("x", `"`+strings.Repeat("x", bootpolicy.MaxReference)+`"`):                                                      "the limit is 8388608",
		strings.Replace(minimal, "[{}]", `[{"kernel_cmdline": "`+strings.Repeat("x", bootpolicy.MaxExpression+1)+`"}]`, 1): "an expression of 8193 bytes",
	} {
		p, err := bootpolicy.Parse([]byte(text))
		var problems *policy.Error
		if p != nil || !errors.As(err, &problems) {
			t.Errorf("%.80q was taken: %v", text, err)
			continue
		}
		all := ""
		for _, each := range problems.Problems {
			all += fmt.Sprintf("line %d: %s\n", each.Line, each)
		}
		if !strings.Contains(all, want) && !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: %.400s, want %q", text, all, want)
		}
	}
}

// I24: an expression with half a character would match another text than is written.
func TestI24_HalfACharacterIsRefused(t *testing.T) {
	whole := keylime(t)
	for _, text := range []string{
		strings.Replace(whole, "console=ttyS0", `console=\ud800`, 1),
		strings.Replace(whole, `"kernels"`, `"\udc00": 1, "kernels"`, 1),
	} {
		_, err := bootpolicy.Parse([]byte(text))
		var problems *policy.Error
		if !errors.As(err, &problems) || !strings.Contains(err.Error(), "half a character") {
			t.Errorf("%v", err)
		}
	}
}

func TestUnknownMembersAreNoted(t *testing.T) {
	p := parse(t, `{"comment": {"x": 1},`+strings.Replace(minimal[1:], "{}", `{"tag": "web", "foo_authcode_sha256": "x"}`, 1))
	if got := strings.Join(p.Unknown(), " "); got != "comment kernels[0].tag kernels[0].foo_authcode_sha256" {
		t.Error(got)
	}
}

// Expressions match the whole of the line.
func TestI20_ExpressionsMatchWhole(t *testing.T) {
	b := events(t, verifiertest.BootLog(t, secureBoot))
	for x, want := range map[string]bool{"/vmlinuz.*": true, "/vmlinuz": false, "vmlinuz.*": false, "a|/vmlinuz.*": true, "/vmlinuz|x": false} {
		text := keylime(t)
		at := strings.Index(text, `"kernel_cmdline"`)
		p := parse(t, text[:at]+`"kernel_cmdline": "`+x+`"}]}`)
		if got := len(p.Judge(booted(t, b, nil))) == 0; got != want {
			t.Errorf("%s: accepted: %v", x, got)
		}
	}
}

// FuzzParse: no text brings Parse down, and what it takes can be judged by.
func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte(keylime(f)))
	s, err := parseLog(f, verifiertest.BootLog(f, secureBoot)).Suppose(pcr.SHA256)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := bootpolicy.Parse(b)
		var problems *policy.Error
		switch {
		case err == nil:
			p.JudgeSupposed(s)
		case p != nil || !errors.As(err, &problems) || len(problems.Problems) == 0:
			t.Errorf("%v, %v", p, err)
		}
	})
}
