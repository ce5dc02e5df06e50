package bootpolicy_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"quicklime/verifier/bootpolicy"
	"quicklime/verifier/eventlog"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// I20: the reference state that is made of a boot accepts it, and says what was
// booted.
func TestI20_ReferenceStateOfACaptureAcceptsIt(t *testing.T) {
	for _, name := range verifiertest.BootLogs(t) {
		r := captured(t, name)
		p := created(t, r)
		if fails := p.Judge(r); len(fails) > 0 {
			t.Errorf("%s: %+v", name, fails)
		}
		judged := pcr.Range(0, 9) | pcr.Of(14)
		if strings.Contains(name, "uki") || strings.Contains(name, "systemd") {
			judged |= pcr.Range(11, 13)
		}
		if verifiertest.SystemdLog(t, name) != nil {
			judged |= pcr.Of(15)
		}
		if len(p.Unknown()) > 0 || p.Kernels() != 1 || p.SecureBoot() != slices.Contains(withSecureBoot, name) || p.PCRs() != judged {
			t.Errorf("%s: unknown %v, %d kernels, Secure Boot %v, PCRs %v", name, p.Unknown(), p.Kernels(), p.SecureBoot(), p.PCRs())
		}
		for _, w := range p.Warnings() {
			if !strings.Contains(w, "kernel_cmdline") {
				t.Errorf("%s: %s", name, w)
			}
		}
	}
}

// withSecureBoot are the captures with Secure Boot on.
var withSecureBoot = []string{secureBoot, "ovmf-uki-6.1", "ovmf-uki-systemd-6.12"}

// I20: one machine's reference state refuses the boot of another.
func TestI20_ReferenceStatesRefuseOtherBoots(t *testing.T) {
	p := created(t, captured(t, "ovmf-6.1-ima-ng"))
	for _, name := range []string{secureBoot, "direct-6.1-ima-ng", "ovmf-6.1-ima-sig"} {
		if len(p.Judge(captured(t, name))) == 0 {
			t.Errorf("%s was accepted", name)
		}
	}
}

// change is a boot that differs from a capture, and what must be said of it.
type change struct {
	name   string
	do     func(t *testing.T, b []event) []event
	id     wire.FailureID
	says   string
	number int // of the event; -1: about none
}

const example = wire.FailureID("measured_boot.policy_example")

// other gives an image or a file other contents.
func other(b []event, at int) []event {
	b[at].digest = pcr.SHA256.Sum([]byte("other"))
	return b
}

// I20: a changed boot whose log is true is refused, and the event is named.
func TestI20_ChangedBootsAreRefused(t *testing.T) {
	at := map[string]int{"SecureBoot": 3, "PK": 4, "KEK": 5, "db": 6, "dbx": 7, "MokListRT": 28}
	variable := func(t *testing.T, b []event, name string, edit func([]byte) []byte) []event {
		at := at[name]
		b[at].data = edit(bytes.Clone(b[at].data))
		b[at].digest = pcr.SHA256.Sum(b[at].data)
		return b
	}
	for _, c := range []change{
		{"command line", func(t *testing.T, b []event) []event {
			b[43] = line("kernel_cmdline", "/vmlinuz init=/bin/sh")
			return b
		}, example, "PCR 8, event 44: the kernel command line is another one", 44},
		{"command line called a command", func(t *testing.T, b []event) []event {
			return slices.Insert(b, 45, line("grub_cmd", "/vmlinuz init=/bin/sh"))
		}, example, "PCR 8, event 46: the kernel command line is another one", 46},
		{"no command line", func(t *testing.T, b []event) []event { return slices.Delete(b, 43, 44) }, example, "PCR 8: no kernel command line was measured", -1},
		{"command", func(t *testing.T, b []event) []event { return slices.Insert(b, 45, line("grub_cmd", "insmod evil")) }, example, "event 46: a command of the boot loader that grub_commands does not list", 46},
		{"line that is not measured so", func(t *testing.T, b []event) []event {
			return slices.Insert(b, 45, measured(8, eventlog.IPL, "x\x01y"))
		}, example, "event 46: no rule accepts EV_IPL", 46},
		{"initrd", func(t *testing.T, b []event) []event { return other(b, index(t, b, 9, "/initrd.img")) }, example, "PCR 9, event 46: an initrd was loaded: EV_IPL, which the log calls \"/initrd.img\", and the reference state", 46},
		{"initrd called a file of GRUB", func(t *testing.T, b []event) []event {
			return slices.Insert(b, 46, event{9, eventlog.IPL, pcr.SHA256.Sum([]byte("evil")), []byte("/boot/grub/x\x00")})
		}, example, "PCR 9, event 47", 47},
		{"no initrd", func(t *testing.T, b []event) []event {
			at := index(t, b, 9, "/initrd.img")
			return slices.Delete(b, at, at+1)
		}, example, "PCR 9: initrd of the reference state was not loaded", -1},
		{"Secure Boot off", func(t *testing.T, b []event) []event {
			return variable(t, b, "SecureBoot", func(d []byte) []byte { d[len(d)-1] = 0; return d })
		}, example, "PCR 7, event 4: Secure Boot is off", 4},
		{"no SecureBoot", func(t *testing.T, b []event) []event {
			at := index(t, b, 7, "SecureBoot")
			return slices.Delete(b, at, at+1)
		}, example, "PCR 7: SecureBoot was not measured", -1},
		{"no dbx", func(t *testing.T, b []event) []event { return slices.Delete(b, 7, 8) }, example, "PCR 7: dbx was not measured", -1},
		{"dbx twice", func(t *testing.T, b []event) []event { return slices.Insert(b, 8, b[7]) }, example, "PCR 7, event 9: a second \"dbx\"", 9},
		{"SecureBoot behind the separator", func(t *testing.T, b []event) []event {
			at := index(t, b, 7, "SecureBoot")
			e := b[at]
			return slices.Insert(slices.Delete(b, at, at+1), 9, e)
		}, example, "behind the separator", 10},
		{"dbx entry removed", func(t *testing.T, b []event) []event {
			return variable(t, b, "dbx", func(d []byte) []byte {
				d = d[:len(d)-76]
				copy(d[24:], make([]byte, 8))
				return d
			})
		}, example, "PCR 7, event 8: dbx lacks 1 of the 1 entries", 8},
		{"key of db", func(t *testing.T, b []event) []event {
			return variable(t, b, "db", func(d []byte) []byte { d[len(d)-1] ^= 1; return d })
		}, example, "PCR 7, event 7: db has a key that db does not list", 7},
		{"key of KEK", func(t *testing.T, b []event) []event {
			return variable(t, b, "KEK", func(d []byte) []byte { d[len(d)-1] ^= 1; return d })
		}, example, "PCR 7, event 6: KEK has a key that kek does not list", 6},
		{"PK", func(t *testing.T, b []event) []event {
			return variable(t, b, "PK", func(d []byte) []byte { d[len(d)-1] ^= 1; return d })
		}, example, "PCR 7, event 5: PK has a key that pk does not list", 5},
		{"key that shim was accepted by", func(t *testing.T, b []event) []event {
			b[21].data = bytes.Clone(b[21].data)
			b[21].data[len(b[21].data)-1] ^= 1
			b[21].digest = pcr.SHA256.Sum(b[21].data)
			return b
		}, example, "PCR 7, event 22: an image was accepted by a key that db does not list", 22},
		{"unsigned kernel", func(t *testing.T, b []event) []event {
			b = other(b, 41)
			return other(b, 42)
		}, example, "PCR 4, event 42: EV_EFI_BOOT_SERVICES_APPLICATION, which the log calls \"loaded from memory, 14186432 bytes\" was booted where the reference state has another kernel", 42},
		{"kernel not verified", func(t *testing.T, b []event) []event { return slices.Delete(b, 41, 43) }, example, "PCR 4: kernel was not booted", -1},
		{"shim", func(t *testing.T, b []event) []event { return other(b, 23) }, example, "has another shim", 24},
		{"image after the kernel", func(t *testing.T, b []event) []event { return slices.Insert(b, 43, b[29]) }, example, "PCR 4, event 44: EV_EFI_BOOT_SERVICES_APPLICATION, which the log calls \"\\\\EFI\\\\BOOT\\\\grubx64.efi, 4183488 bytes\" was booted, and the reference state has nothing more", 44},
		{"driver in PCR 4", func(t *testing.T, b []event) []event { b[23].kind = eventlog.EFIBootServicesDriver; return b }, example, "PCR 4, event 24: no rule accepts EV_EFI_BOOT_SERVICES_DRIVER", 24},
		{"driver of a device", func(t *testing.T, b []event) []event {
			return slices.Insert(b, 9, measured(2, eventlog.EFIBootServicesDriver, "rom"))
		}, example, "PCR 2, event 10: a driver that option_roms does not list", 10},
		{"event in PCR 2", func(t *testing.T, b []event) []event {
			return slices.Insert(b, 9, measured(2, eventlog.PostCode, "rom"))
		}, example, "PCR 2, event 10: no rule accepts EV_POST_CODE", 10},
		{"event in PCR 3", func(t *testing.T, b []event) []event {
			return slices.Insert(b, 9, measured(3, eventlog.EFIAction, "x"))
		}, example, "PCR 3, event 10: no rule accepts EV_EFI_ACTION", 10},
		{"event in PCR 1", func(t *testing.T, b []event) []event { return slices.Insert(b, 9, measured(1, eventlog.PostCode, "x")) }, example, "PCR 1, event 10: no rule", 10},
		{"partition table twice", func(t *testing.T, b []event) []event { return slices.Insert(b, 23, b[22]) }, example, "PCR 5, event 24: no rule", 24},
		{"action in PCR 4", func(t *testing.T, b []event) []event {
			return slices.Insert(b, 23, measured(4, eventlog.EFIAction, "Booting"))
		}, example, "PCR 4, event 24: no rule", 24},
		{"firmware", func(t *testing.T, b []event) []event { return other(b, 1) }, example, "PCR 0, event 2: the firmware is none of the 1 in scrtm_and_bios", 2},
		{"part of the firmware lacks", func(t *testing.T, b []event) []event { return slices.Delete(b, 2, 3) }, example, "PCR 0: the firmware is none of the 1", -1},
		{"event in PCR 0", func(t *testing.T, b []event) []event { return slices.Insert(b, 3, measured(0, eventlog.PostCode, "x")) }, example, "PCR 0, event 4: no rule", 4},
		{"separator of an error", func(t *testing.T, b []event) []event {
			b[15] = measured(1, eventlog.SeparatorEvent, "\x01\x00\x00\x00")
			return b
		}, example, "PCR 1, event 16: the separator is of an error", 16},
		{"no separator", func(t *testing.T, b []event) []event { return slices.Delete(b, 17, 18) }, example, "PCR 3: there is no separator", -1},
		{"two separators", func(t *testing.T, b []event) []event { return slices.Insert(b, 17, b[17]) }, example, "PCR 3, event 19: a second separator", 19},
		{"MokList", func(t *testing.T, b []event) []event { return other(b, 24) }, example, "PCR 14, event 25: a list of the machine owner's keys that mokdig does not list", 25},
		{"MokListX", func(t *testing.T, b []event) []event { return other(b, 25) }, example, "PCR 14, event 26: a list of the machine owner's keys that mokxdig does not list", 26},
		{"MokList and MokListX change names", func(t *testing.T, b []event) []event {
			b[24].data, b[25].data = b[25].data, b[24].data
			return b
		}, example, "PCR 14, event 25", 25},
		{"MokListX before MokList", func(t *testing.T, b []event) []event { b[24], b[25] = b[25], b[24]; return b }, example, "PCR 14, event 26: no rule accepts", 26},
		{"MokListTrusted", func(t *testing.T, b []event) []event { return other(b, 27) }, example, "MokListTrusted has another value", 28},
		{"no MokList", func(t *testing.T, b []event) []event { return slices.Delete(b, 24, 25) }, example, "PCR 14: MokList was not measured", -1},
		{"MokSBState", func(t *testing.T, b []event) []event {
			return slices.Insert(b, 26, measured(14, eventlog.IPL, "MokSBState\x00"))
		}, example, "PCR 14, event 27: no rule", 27},
		{"variable of another name", func(t *testing.T, b []event) []event {
			return variable(t, b, "MokListRT", func(d []byte) []byte { d[32] = 'N'; return d })
		}, example, "PCR 7, event 29: no rule accepts", 29},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := created(t, captured(t, secureBoot))
			b := events(t, verifiertest.BootLog(t, secureBoot))
			if fails := p.Judge(booted(t, b, nil)); len(fails) > 0 {
				t.Fatalf("the unchanged boot: %+v", fails)
			}
			fails := p.Judge(booted(t, c.do(t, b), nil))
			if !slices.ContainsFunc(fails, func(f wire.Failure) bool {
				number := -1
				if f.Entry != nil {
					number = int(*f.Entry)
				}
				return f.ID == c.id && strings.Contains(f.Message, c.says) && number == c.number && f.Hint != ""
			}) {
				t.Errorf("want %s of event %d: %s; got", c.id, c.number, c.says)
				for _, f := range fails {
					t.Errorf("%s %s", f.ID, f.Message)
				}
			}
		})
	}
}

// I20: whatever the log says of the true boot, its digests lead to the quote or the
// PCR is refused.
func TestI20_EditedLogsOfTheTrueBoot(t *testing.T) {
	p := created(t, captured(t, secureBoot))
	original := events(t, verifiertest.BootLog(t, secureBoot))
	q := verifiertest.Quoted(t, led(t, original, nil))
	if fails := p.Judge(parseLog(t, write(original)).Replay(q)); len(fails) > 0 {
		t.Fatalf("%+v", fails)
	}
	want := func(i int, b []event) {
		t.Helper()
		fails := p.Judge(parseLog(t, write(b)).Replay(q))
		if !slices.ContainsFunc(fails, func(f wire.Failure) bool { return f.ID == wire.BootInvalidPCR(i) && f.Hint != "" }) {
			t.Errorf("PCR %d: %+v", i, fails)
		}
	}
	for at := range original {
		b := slices.Clone(original)
		i := b[at].pcr
		want(i, slices.Delete(b, at, at+1)) // removed
		b = slices.Clone(original)
		b[at].pcr = 6
		if i != 6 {
			want(6, b) // moved
			want(i, b)
		}
		want(i, other(slices.Clone(original), at))
	}
}

func TestI20_PCRsThatAreNotQuoted(t *testing.T) {
	p := created(t, captured(t, secureBoot))
	b := events(t, verifiertest.BootLog(t, secureBoot))
	all := led(t, b, nil)
	some, err := pcr.NewValues(pcr.Selection{{Bank: pcr.SHA256, PCRs: pcr.Range(0, 7)}}, all.Digests()[:8])
	if err != nil {
		t.Fatal(err)
	}
	fails := p.Judge(parseLog(t, write(b)).Replay(verifiertest.Quoted(t, some)))
	if len(fails) != 1 || fails[0].ID != wire.BootMissingPCRs || !strings.Contains(fails[0].Message, "[8 9 14]") {
		t.Errorf("%+v", fails)
	}
	if fails := p.Judge(eventlog.Replayed{}); len(fails) == 0 || fails[0].ID != wire.BootMissingPCRs {
		t.Errorf("nothing was quoted: %+v", fails)
	}
}

func TestI20_NamedPolicies(t *testing.T) {
	for name, want := range map[string]int{bootpolicy.AcceptAll: 0, bootpolicy.RejectAll: 1} {
		p, ok := bootpolicy.Named(name)
		if !ok || p.Name() != name || p.PCRs() != 0 {
			t.Fatalf("%+v", p)
		}
		fails := p.Judge(captured(t, secureBoot))
		if len(fails) != want || want == 1 && fails[0].ID != "measured_boot.policy_reject-all" {
			t.Errorf("%s: %+v", name, fails)
		}
	}
	if _, ok := bootpolicy.Named("example"); ok {
		t.Error("example is of a text")
	}
}

// kinds are the types that a log may claim.
var kinds = []eventlog.Type{
	eventlog.PostCode, eventlog.SeparatorEvent, eventlog.ActionEvent, eventlog.EventTag, eventlog.SCRTMContents, eventlog.SCRTMVersion,
	eventlog.CPUMicrocode, eventlog.PlatformConfigFlags, eventlog.CompactHash, eventlog.IPL, eventlog.EFIVariableDriverConfig,
	eventlog.EFIVariableBoot, eventlog.EFIBootServicesApplication, eventlog.EFIBootServicesDriver, eventlog.EFIGPTEvent, eventlog.EFIAction,
	eventlog.EFIPlatformFirmwareBlob, eventlog.EFIHandoffTables, eventlog.EFIPlatformFirmwareBlob2, eventlog.EFIVariableBoot2,
	eventlog.EFIVariableAuthority, eventlog.NoAction, 0xdead,
}

// open reports whether the reference state leaves an event to what it does judge:
// PCR 1 and the partition table, what shim measured of itself, whose image is
// judged, and MokListTrusted, which is 0 or 1.
func open(e event) bool {
	byShim := len(e.data) > 16 && [16]byte(e.data[:16]) == eventlog.ShimLock && bytes.Equal(e.digest, pcr.SHA256.Sum(e.data))
	trusted := bytes.Equal(e.digest, pcr.SHA256.Sum([]byte{0})) || bytes.Equal(e.digest, pcr.SHA256.Sum([]byte{1}))
	return e.kind == eventlog.NoAction || e.pcr == 1 || e.pcr == 5 || e.pcr == 7 && byShim || e.pcr == 14 && trusted
}

// measurements are the digests of a boot that are not open, by PCR.
func measurements(b []event) map[string]bool {
	of := map[string]bool{}
	for _, e := range b {
		if !open(e) {
			of[fmt.Sprintf("PCR %d: %x", e.pcr, e.digest)] = true
		}
	}
	return of
}

// asked are the events of a capture that the boot must have: firmware, what Secure
// Boot is configured to, images, command line, kernel, initrd, lists of keys.
var asked = map[string][]int{
	secureBoot:          {0, 1, 2, 3, 4, 5, 6, 7, 8, 23, 24, 25, 29, 40, 41, 43, 45},
	"ovmf-6.1-ima-ng":   {0, 1, 2, 8, 9, 20, 21},
	"direct-6.1-ima-ng": {5, 7, 8, 11, 12},
}

// I20: of a boot and a log that both are the attacker's to choose, what is accepted
// measured what the reference state says, whatever the log claims.
func TestI20_NoEditThatChangesAFactPasses(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, name := range []string{secureBoot, "ovmf-6.1-ima-ng", "direct-6.1-ima-ng"} {
		original := events(t, verifiertest.BootLog(t, name))
		p := created(t, captured(t, name))
		facts := measurements(original)
		accepted, changed := 0, 0
		for range 3000 {
			b := slices.Clone(original)
			for range 1 + r.IntN(3) {
				edit(r, &b)
			}
			s, err := parseLog(t, write(b)).Suppose(pcr.SHA256)
			if err != nil {
				t.Fatal(err)
			}
			got := measurements(b)
			if !maps.Equal(got, facts) {
				changed++
			}
			if len(p.JudgeSupposed(s)) > 0 {
				continue
			}
			accepted++
			for d := range got {
				if !facts[d] {
					t.Fatalf("%s: accepted, and was not in the boot: %s", name, d)
				}
			}
			for _, i := range asked[name] {
				if d := fmt.Sprintf("PCR %d: %x", original[i].pcr, original[i].digest); !got[d] {
					t.Fatalf("%s: accepted without event %d: %s", name, i+1, d)
				}
			}
		}
		if accepted == 0 || changed == 0 {
			t.Errorf("%s: %d accepted, %d changed", name, accepted, changed)
		}
		t.Logf("%s: 3000 boots, %d accepted, %d changed what was measured", name, accepted, changed)
	}
}

// edit changes a boot or what its log says of it.
func edit(r *rand.Rand, b *[]event) {
	at := r.IntN(len(*b))
	e := (*b)[at]
	switch r.IntN(7) {
	case 0:
		e.kind = kinds[r.IntN(len(kinds))]
	case 1:
		e.pcr = []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 14}[r.IntN(11)]
	case 2:
		e.digest = pcr.SHA256.Sum([]byte{byte(r.IntN(256))})
	case 3:
		if len(e.data) > 0 {
			e.data = bytes.Clone(e.data)
			e.data[r.IntN(len(e.data))] ^= 1 << r.IntN(8)
			if r.IntN(2) == 0 {
				e.digest = pcr.SHA256.Sum(e.data)
			}
		}
	case 4:
		*b = slices.Delete(*b, at, at+1)
		return
	case 5:
		e.data = (*b)[r.IntN(len(*b))].data
	case 6:
		from := (*b)[r.IntN(len(*b))]
		from.kind = kinds[r.IntN(len(kinds))]
		if r.IntN(2) == 0 {
			from.digest = pcr.SHA256.Sum([]byte("added"))
		}
		*b = slices.Insert(*b, at, from)
		return
	}
	(*b)[at] = e
}
