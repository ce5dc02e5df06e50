package eventlog_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"quicklime/verifier/eventlog"
	"quicklime/verifier/verifiertest"
	"quicklime/wire/pcr"
)

// supposed reads a log in SHA-256.
func supposed(t testing.TB, b []byte) []eventlog.Event {
	t.Helper()
	s, err := parse(t, b).Suppose(pcr.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return s.Events()
}

// wide is UTF-16 without NUL.
func wide(s string) (b []byte) {
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// variable is UEFI_VARIABLE_DATA.
func variable(vendor eventlog.GUID, name, value string) []byte {
	b := append([]byte{}, vendor[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(utf16.Encode([]rune(name)))))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(value)))
	return append(append(b, wide(name)...), value...)
}

func tagged(id uint32, value string) []byte {
	b := binary.LittleEndian.AppendUint32(nil, id)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(value)))
	return append(b, value...)
}

// I20: of each type, what a digest covers and what it does not.
func TestI20_WhatTheDigestCovers(t *testing.T) {
	const zeros = "\x00\x00\x00\x00"
	global := eventlog.GlobalVariable
	secure := variable(global, "SecureBoot", "\x01")
	order := variable(global, "BootOrder", "\x01\x00")
	section, options := append(wide(".linux"), 0, 0), append(wide("root=/dev/sda quiet"), 0, 0)
	const checked, only, contradicted = eventlog.Checked, eventlog.DigestOnly, eventlog.Contradicted
	for name, c := range map[string]struct {
		kind     eventlog.Type
		of, data []byte
		check    eventlog.Check
		want     eventlog.Data
		quirk    eventlog.Quirk
	}{
		"driver config":                  {eventlog.EFIVariableDriverConfig, secure, secure, checked, eventlog.Variable{Vendor: global, Name: "SecureBoot", Value: []byte{1}}, ""},
		"driver config of another":       {eventlog.EFIVariableDriverConfig, []byte("x"), secure, contradicted, nil, ""},
		"driver config, value alone":     {eventlog.EFIVariableDriverConfig, []byte{1}, secure, contradicted, nil, ""},
		"driver config that is none":     {eventlog.EFIVariableDriverConfig, secure[:20], secure[:20], checked, eventlog.Bytes{Value: secure[:20]}, ""},
		"authority":                      {eventlog.EFIVariableAuthority, secure, secure, checked, eventlog.Variable{Vendor: global, Name: "SecureBoot", Value: []byte{1}}, ""},
		"authority, last byte not":       {eventlog.EFIVariableAuthority, append(bytes.Clone(secure), 7), append(bytes.Clone(secure), 7, 8), checked, eventlog.Variable{Vendor: global, Name: "SecureBoot", Value: []byte{1}}, eventlog.QuirkTrailingByte},
		"authority, bytes behind":        {eventlog.EFIVariableAuthority, append(bytes.Clone(secure), 7), append(bytes.Clone(secure), 7), checked, eventlog.Variable{Vendor: global, Name: "SecureBoot", Value: []byte{1}}, eventlog.QuirkBehind},
		"authority, its own last byte":   {eventlog.EFIVariableAuthority, secure[:len(secure)-1], secure, contradicted, nil, ""},
		"boot variable":                  {eventlog.EFIVariableBoot, []byte("\x01\x00"), order, checked, eventlog.BootValue{Value: []byte("\x01\x00")}, ""},
		"boot variable, all of it":       {eventlog.EFIVariableBoot, order, order, checked, eventlog.Variable{Vendor: global, Name: "BootOrder", Value: []byte("\x01\x00")}, ""},
		"boot variable of another":       {eventlog.EFIVariableBoot, []byte("\x02\x00"), order, contradicted, nil, ""},
		"boot variable 2":                {eventlog.EFIVariableBoot2, order, order, checked, eventlog.Variable{Vendor: global, Name: "BootOrder", Value: []byte("\x01\x00")}, ""},
		"separator":                      {eventlog.SeparatorEvent, []byte(zeros), []byte(zeros), checked, eventlog.Separator{}, ""},
		"separator, ones":                {eventlog.SeparatorEvent, []byte("\xff\xff\xff\xff"), []byte("\xff\xff\xff\xff"), checked, eventlog.Separator{Value: 0xffffffff}, ""},
		"separator of an error":          {eventlog.SeparatorEvent, []byte("\x01\x00\x00\x00"), []byte("it broke"), checked, eventlog.Separator{Value: eventlog.SeparatorError}, ""},
		"separator that hides one":       {eventlog.SeparatorEvent, []byte("\x01\x00\x00\x00"), []byte(zeros), checked, eventlog.Separator{Value: eventlog.SeparatorError}, ""},
		"separator of another":           {eventlog.SeparatorEvent, []byte("x"), []byte(zeros), contradicted, nil, ""},
		"separator of Windows":           {eventlog.SeparatorEvent, []byte("WBCL-"), []byte("WBCL-"), checked, eventlog.Bytes{Value: []byte("WBCL-")}, ""},
		"action":                         {eventlog.EFIAction, []byte("Exit"), []byte("Exit"), checked, eventlog.Action{Text: "Exit"}, ""},
		"action of another":              {eventlog.EFIAction, []byte("Exit"), []byte("Enter"), contradicted, nil, ""},
		"action of BIOS":                 {eventlog.ActionEvent, []byte("Calling INT 19h"), []byte("Calling INT 19h"), checked, eventlog.Action{Text: "Calling INT 19h"}, ""},
		"action that is no text":         {eventlog.EFIAction, []byte("\x1b"), []byte("\x1b"), checked, eventlog.Bytes{Value: []byte("\x1b")}, ""},
		"omitted boot devices":           {eventlog.OmitBootDevices, []byte("BOOT ATTEMPTS OMITTED"), []byte("BOOT ATTEMPTS OMITTED"), checked, eventlog.Action{Text: "BOOT ATTEMPTS OMITTED"}, ""},
		"H-CRTM":                         {eventlog.EFIHCRTMEvent, []byte("HCRTM"), []byte("anything"), checked, eventlog.Action{Text: "HCRTM"}, ""},
		"H-CRTM of another":              {eventlog.EFIHCRTMEvent, []byte("x"), []byte("HCRTM"), contradicted, nil, ""},
		"version":                        {eventlog.SCRTMVersion, wide("v1"), wide("v1"), checked, eventlog.Version{Value: wide("v1")}, ""},
		"version of another":             {eventlog.SCRTMVersion, wide("v2"), wide("v1"), contradicted, nil, ""},
		"GRUB command":                   {eventlog.IPL, []byte("boot"), []byte("grub_cmd: boot\x00"), checked, eventlog.Line{Text: "boot"}, ""},
		"GRUB kernel":                    {eventlog.IPL, []byte("/vmlinuz quiet"), []byte("kernel_cmdline: /vmlinuz quiet\x00"), checked, eventlog.Line{Text: "/vmlinuz quiet"}, ""},
		"GRUB command of another":        {eventlog.IPL, []byte("reboot"), []byte("grub_cmd: boot\x00"), contradicted, nil, ""},
		"GRUB command without its NUL":   {eventlog.IPL, []byte("boot"), []byte("grub_cmd: boot"), only, nil, ""},
		"GRUB command, NUL within":       {eventlog.IPL, []byte("boot"), []byte("grub_cmd: boot\x00x\x00"), only, nil, ""},
		"GRUB file":                      {eventlog.IPL, []byte("content"), []byte("/vmlinuz\x00"), only, nil, ""},
		"section name":                   {eventlog.IPL, []byte(".linux\x00"), section, checked, eventlog.SectionName{Name: ".linux"}, ""},
		"section":                        {eventlog.IPL, []byte("ELF"), section, only, nil, ""},
		"load options with NUL":          {eventlog.IPL, options, options, checked, eventlog.LoadOptions{Text: "root=/dev/sda quiet"}, ""},
		"load options without":           {eventlog.IPL, options[:len(options)-2], options, checked, eventlog.LoadOptions{Text: "root=/dev/sda quiet"}, ""},
		"load options of another":        {eventlog.IPL, wide("x"), options, only, nil, ""},
		"tagged, all of it":              {eventlog.EventTag, tagged(7, "abc"), tagged(7, "abc"), checked, eventlog.Tagged{ID: 7, Value: []byte("abc")}, ""},
		"tagged, its value":              {eventlog.EventTag, []byte("abc"), tagged(7, "abc"), checked, eventlog.TaggedValue{Value: []byte("abc")}, ""},
		"tagged by the EFI stub":         {eventlog.EventTag, []byte("initrd"), tagged(0x8f3b22ec, "Linux initrd\x00"), only, nil, ""},
		"tagged, bytes behind":           {eventlog.EventTag, []byte("abc"), append(tagged(7, "abc"), 0), only, nil, ""},
		"image":                          {eventlog.EFIBootServicesApplication, []byte("PE"), make([]byte, 32), only, nil, ""},
		"firmware":                       {eventlog.EFIPlatformFirmwareBlob, []byte("FV"), make([]byte, 16), only, nil, ""},
		"POST code that is its text":     {eventlog.PostCode, []byte("POST CODE"), []byte("POST CODE"), checked, eventlog.Bytes{Value: []byte("POST CODE")}, ""},
		"POST code of a table":           {eventlog.PostCode, []byte("table"), []byte("ACPI DATA"), only, nil, ""},
		"compact hash":                   {eventlog.CompactHash, []byte("Dell"), []byte("Dell"), checked, eventlog.Bytes{Value: []byte("Dell")}, ""},
		"compact hash of something else": {eventlog.CompactHash, []byte("block"), []byte("\x10\x00\x00\x00"), only, nil, ""},
		"an unknown type":                {0x80000055, []byte("x"), []byte("x"), checked, eventlog.Bytes{Value: []byte("x")}, ""},
		"GPT that is none":               {eventlog.EFIGPTEvent, []byte("x"), []byte("x"), checked, eventlog.Bytes{Value: []byte("x")}, ""},
		"GPT of another":                 {eventlog.EFIGPTEvent, []byte("x"), []byte("y"), contradicted, nil, ""},
	} {
		e := supposed(t, write(event{8, c.kind, c.of, c.data}))[0]
		if diff := cmp.Diff(c.want, e.Data()); diff != "" || e.Check() != c.check || e.Quirk() != c.quirk {
			t.Errorf("%s: %s, %q (-want +got):\n%s", name, e.Check(), e.Quirk(), diff)
		}
		if (e.Measured() != "") != (c.check == checked) || c.check != checked && e.Claimed() == "" {
			t.Errorf("%s: %s: %q, %q", name, e.Check(), e.Measured(), e.Claimed())
		}
	}
}

// Each type of the specification has its name, its meaning and nothing in common with
// another.
func TestTypesHaveAMeaning(t *testing.T) {
	known, meanings := 0, map[string]eventlog.Type{}
	for _, from := range []eventlog.Type{0, 0x80000000} {
		for kind := from; kind < from+0x200; kind++ {
			if kind.Known() != strings.HasPrefix(kind.String(), "EV_") || kind.Known() != (kind.Meaning() != "") {
				t.Errorf("%v: %q", kind, kind.Meaning())
			}
			if kind.Known() {
				known++
				meanings[kind.String()] = kind
			}
		}
	}
	if known != 39 || len(meanings) != known {
		t.Errorf("%d types with %d names", known, len(meanings))
	}
}

var update = flag.Bool("update", false, "write testdata/secureboot.txt anew")

// What is known of a boot with shim, GRUB and Secure Boot: PCR, check, what was
// measured, what the log says beside it.
func TestSecureBootCapture(t *testing.T) {
	r := parse(t, verifiertest.BootLog(t, "ovmf-secureboot-6.1")).Replay(verifiertest.Quoted(t, verifiertest.PCRs(t, "ovmf-secureboot-6.1")))
	var got []byte
	for _, e := range r.Events() {
		got = fmt.Appendf(got, "%d | %s | %s | %s\n", e.PCR(), e.Check(), e.Measured(), e.Claimed())
	}
	const file = "testdata/secureboot.txt"
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestI20_Variables(t *testing.T) {
	vars := map[string]eventlog.Variable{}
	for _, e := range supposed(t, verifiertest.BootLog(t, "ovmf-secureboot-6.1")) {
		if v, ok := e.Data().(eventlog.Variable); ok {
			vars[v.Name+" "+e.Type().String()[16:]] = v
		}
	}
	for name, want := range map[string]int{"PK DRIVER_CONFIG": 1, "KEK DRIVER_CONFIG": 2, "db DRIVER_CONFIG": 2, "dbx DRIVER_CONFIG": 1} {
		all, err := vars[name].Signatures()
		if err != nil || len(all) != want {
			t.Errorf("%s: %d signatures, %v", name, len(all), err)
		}
		for n := range vars[name].Value {
			cut := eventlog.Variable{Value: vars[name].Value[:n]}
			if all, err := cut.Signatures(); err == nil && n > 0 && len(all) >= want || err != nil && !errors.Is(err, eventlog.ErrSignatures) {
				t.Fatalf("%s, cut at %d: %d signatures, %v", name, n, len(all), err)
			}
		}
	}
	if on, ok := vars["SecureBoot DRIVER_CONFIG"].SecureBoot(); !on || !ok {
		t.Error("Secure Boot is not on")
	}
	if _, ok := vars["PK DRIVER_CONFIG"].SecureBoot(); ok {
		t.Error("PK is Secure Boot")
	}
	if _, ok := (eventlog.Variable{Vendor: eventlog.ShimLock, Name: "SecureBoot", Value: []byte{1}}).SecureBoot(); ok {
		t.Error("a variable of shim is Secure Boot")
	}
	db, err := vars["db DRIVER_CONFIG"].Signatures()
	if err != nil {
		t.Fatal(err)
	}
	used, ok := vars["db AUTHORITY"].Authority()
	if !ok || used.Owner != db[1].Owner || !bytes.Equal(used.Data, db[1].Data) {
		t.Errorf("shim was accepted by %v, %v", used.Owner, ok)
	}
	levels, err := vars["SbatLevel AUTHORITY"].SBAT()
	if diff := cmp.Diff([]eventlog.SBATComponent{{Name: "sbat", Generation: 1, Date: "2025021800"}, {Name: "shim", Generation: 4}, {Name: "grub", Generation: 5}}, levels); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, bad := range []string{"", "shim,4\n", "sbat,1\nshim\n", "sbat,x\n", "sbat,1\n,4\n", "sbat,1\n\n", "sbat,-1\n", "sbat,1\nsh\x1bim,4\n"} {
		if levels, err := (eventlog.Variable{Value: []byte(bad)}).SBAT(); !errors.Is(err, eventlog.ErrSBAT) {
			t.Errorf("%q: %v, %v", bad, levels, err)
		}
	}
}

// I04: the lengths of a signature list are held against each other before a
// signature is read.
func TestI04_I20_SignatureLists(t *testing.T) {
	list := func(size, header, each uint32, rest int) []byte {
		b := append([]byte{}, eventlog.CertSHA256[:]...)
		for _, n := range []uint32{size, header, each} {
			b = binary.LittleEndian.AppendUint32(b, n)
		}
		return append(b, make([]byte, rest)...)
	}
	for name, c := range map[string]struct {
		value []byte
		want  int // signatures; -1: refused
	}{
		"none":                      {nil, 0},
		"two":                       {list(28+96, 0, 48, 96), 2},
		"a header":                  {list(28+5+48, 5, 48, 53), 1},
		"an empty list":             {list(28, 0, 48, 0), 0},
		"two lists":                 {append(list(28+48, 0, 48, 48), list(28+17, 0, 17, 17)...), 2},
		"longer than there is":      {list(28+96, 0, 48, 95), -1},
		"shorter than itself":       {list(27, 0, 48, 48), -1},
		"a header beyond the list":  {list(28+48, 49, 48, 48), -1},
		"a header that wraps":       {list(28+48, 0xffffffff, 48, 48), -1},
		"a header beyond, evenly":   {list(28+32, 64, 32, 32), -1},
		"signatures of nothing":     {list(28+48, 0, 0, 48), -1},
		"signatures without data":   {list(28+48, 0, 16, 48), -1},
		"not a whole signature":     {list(28+48, 0, 47, 48), -1},
		"too many":                  {list(28+17*(eventlog.MaxSignatures+1), 0, 17, 17*(eventlog.MaxSignatures+1)), -1},
		"bytes behind":              {append(list(28+48, 0, 48, 48), 0), -1},
		"nothing but half a header": {make([]byte, 27), -1},
	} {
		all, err := eventlog.Variable{Value: c.value}.Signatures()
		if (err != nil) != (c.want < 0) || err == nil && len(all) != c.want || err != nil && all != nil {
			t.Errorf("%s: %d signatures, %v", name, len(all), err)
		}
	}
}

// An old shim's certificate has no owner, and a byte that was not measured.
func TestI20_QuirksOfOldShim(t *testing.T) {
	quirks := 0
	for _, e := range supposed(t, foreign(t)["sb_cert_eventlog"]) {
		if e.Check() == eventlog.Contradicted {
			t.Errorf("event %d: %s", e.Number(), e.Claimed())
		}
		if e.Quirk() == "" {
			continue
		}
		quirks++
		v, ok := e.Data().(eventlog.Variable)
		s, isAuthority := v.Authority()
		if !ok || v.Name != "Shim" || !isAuthority || s.Owner != (eventlog.GUID{}) || s.Type != eventlog.CertX509 || e.Quirk() != eventlog.QuirkTrailingByte || !strings.Contains(e.Measured(), string(e.Quirk())) {
			t.Errorf("event %d: %s: %s", e.Number(), e.Quirk(), e.Measured())
		}
	}
	if quirks != 2 {
		t.Errorf("%d events with a quirk", quirks)
	}
}

// A device path and its text (UEFI 2.10, section 10.6.1.6).
func TestI04_I20_DevicePaths(t *testing.T) {
	end := "\x7f\xff\x04\x00"
	image := func(path string) []byte {
		return append(binary.LittleEndian.AppendUint64(make([]byte, 24), uint64(len(path))), path...)
	}
	for path, want := range map[string]string{
		"":  "",
		end: "",
		"\x02\x01\x0c\x00\xd0\x41\x03\x0a\x00\x00\x00\x00\x01\x01\x06\x00\x02\x1f" + end: "PciRoot(0x0)/Pci(0x1f,0x2)",
		"\x03\x17\x10\x00\x01\x00\x00\x00\x01\x02\x03\x04\x05\x06\x07\x08" + end:         "NVMe(0x1,0102030405060708)",
		"\x04\x04\x0c\x00\\\x00a\x00b\x00\x00\x00" + end:                                 `\ab`,
		"\x04\x04\x07\x00\\\x00a" + end:                                                  "Path(4,4,5c0061)",
		"\x04\x04\x06\x00\x1b\x00" + end:                                                 "Path(4,4,1b00)",
		"\x03\x18\x08\x00http" + end:                                                     "Uri(http)",
		"\x09\x09\x05\x00\x01" + end:                                                     "Path(9,9,01)",
		"\x01\x01\x05\x00\x01" + end:                                                     "Path(1,1,01)",
		"\x04\x08\x18\x00\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x20\x00\x00\x00\x00\x00\x00\x00" + end:                             "Offset(0x10,0x20)",
		"\x01\x04\x15\x00" + string(eventlog.GlobalVariable[:]) + "\x07" + end:                                                               "VenHw(8be4df61-93ca-11d2-aa0d-00e098032b8c,07)",
		"\x04\x01\x2a\x00\x01\x00\x00\x00" + strings.Repeat("\x08", 16) + "\x44\x33\x22\x11" + strings.Repeat("\x00", 12) + "\x01\x01" + end: "HD(1,MBR,0x11223344,0x808080808080808,0x808080808080808)",
	} {
		e := supposed(t, write(event{4, eventlog.EFIBootServicesApplication, []byte("PE"), image(path)}))[0]
		i, ok := e.Claim().Image()
		if !ok || i.Path != want {
			t.Errorf("%q: %q, %v; want %q", path, i.Path, ok, want)
		}
	}
	for name, path := range map[string]string{
		"no end":             "\x01\x01\x06\x00\x02\x1f",
		"bytes behind":       end + "x",
		"a node of 3 bytes":  "\x01\x01\x03\x00" + end,
		"a node of 0 bytes":  "\x01\x01\x00\x00" + end,
		"a node beyond":      "\x01\x01\xff\xff" + end,
		"half a node's head": "\x01\x01\x06",
		"too many nodes":     strings.Repeat("\x09\x09\x04\x00", eventlog.MaxNodes+1) + end,
	} {
		e := supposed(t, write(event{4, eventlog.EFIBootServicesApplication, []byte("PE"), image(path)}))[0]
		if i, ok := e.Claim().Image(); ok {
			t.Errorf("%s: %+v", name, i)
		}
	}
}

// A partition table is read whole or not at all.
func TestI04_I20_GPT(t *testing.T) {
	var b []byte
	for _, e := range supposed(t, verifiertest.BootLog(t, "ovmf-secureboot-6.1")) {
		if g, ok := e.Data().(eventlog.GPT); ok {
			b = e.Claim().Unchecked()
			if g.Disk.String() != "11111111-2222-3333-4444-555555555555" || len(g.Partitions) != 1 || g.Partitions[0].First != 0x800 {
				t.Errorf("%+v", g)
			}
		}
	}
	if b == nil {
		t.Fatal("no partition table")
	}
	with := func(at int, to ...byte) []byte {
		c := bytes.Clone(b)
		copy(c[at:], to)
		return c
	}
	for name, c := range map[string][]byte{
		"another signature":   with(0, 'X'),
		"one partition more":  with(92, 2),
		"one less":            with(92, 0),
		"entries too small":   with(84, 127)[:len(b)-1],
		"entries too large":   with(84, 129),
		"entries of 4 GB":     with(84, 0xff, 0xff, 0xff, 0xff),
		"too many partitions": with(92, 0xff, 0xff),
		"bytes behind":        append(bytes.Clone(b), 0),
		"cut":                 b[:len(b)-1],
	} {
		e := supposed(t, write(event{5, eventlog.EFIGPTEvent, c, c}))[0]
		if g, ok := e.Data().(eventlog.GPT); ok {
			t.Errorf("%s: %+v", name, g)
		}
	}
}

// A label and a role are claims: the digest is the same whatever they are.
func TestI20_RolesAreClaims(t *testing.T) {
	e := supposed(t, write(event{8, eventlog.IPL, []byte("/vmlinuz"), []byte("kernel_cmdline: /vmlinuz\x00")}, event{8, eventlog.IPL, []byte("/vmlinuz"), []byte("grub_cmd: /vmlinuz\x00")}))
	if !cmp.Equal(e[0].Data(), e[1].Data()) || e[0].Claim().Role() != eventlog.KernelCommandLine || e[1].Claim().Role() != eventlog.Command {
		t.Errorf("%v %s, %v %s", e[0].Data(), e[0].Claim().Role(), e[1].Data(), e[1].Claim().Role())
	}
}
