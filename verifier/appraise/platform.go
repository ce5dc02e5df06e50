package appraise

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"quicklime/verifier/bootpolicy"
	"quicklime/verifier/eventlog"
	"quicklime/verifier/pcrpolicy"
	"quicklime/verifier/systemdlog"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// Platform is what a machine is judged by beside its list: the boot log, once a
// boot, and single PCRs, in every quote.
type Platform struct {
	Boot   *bootpolicy.Policy // nil: not evaluated
	PCRs   *pcrpolicy.Policy  // nil: not evaluated
	Lowest pcr.Bank           // of the enrolment
}

// Digests names the policies, wire.NotEvaluated if there is none (I21).
func (p Platform) Digests() (boot, pcrs string) {
	boot, pcrs = wire.NotEvaluated, wire.NotEvaluated
	if p.Boot != nil {
		boot = p.Boot.Digest()
	}
	if p.PCRs != nil {
		pcrs = p.PCRs.Digest()
	}
	return boot, pcrs
}

// Widen adds to a selection what the policies judge (I15): list is the bank of the
// list, active are those that the TPM says it has.
func (p Platform) Widen(base pcr.Selection, list pcr.Bank, active []pcr.Bank) pcr.Selection {
	s, has := slices.Clone(base), append(slices.Clone(active), list)
	add := func(b pcr.Bank, set pcr.Set) {
		if set == 0 {
			return
		}
		for i := range s {
			if s[i].Bank == b {
				s[i].PCRs |= set
				return
			}
		}
		s = append(s, pcr.BankSet{Bank: b, PCRs: set})
	}
	if p.Boot != nil {
		bank, banks := list, p.Boot.Banks()
		if i := slices.IndexFunc(banks, func(b pcr.Bank) bool { return b >= p.Lowest && slices.Contains(has, b) }); i >= 0 {
			bank = banks[i]
		}
		add(bank, p.Boot.PCRs())
	}
	if p.PCRs != nil {
		for _, b := range pcr.Banks {
			add(b, p.PCRs.Wants(b, p.Lowest, has))
		}
	}
	return s
}

// bank is the one in which a quote's boot PCRs are judged: the first that the boot
// policy prefers of those that cover all of them; 0: none does.
func (p Platform) bank(values pcr.Values) pcr.Bank {
	var covering []pcr.Bank
	for _, s := range values.Selection() {
		if s.Bank >= p.Lowest && p.Boot.PCRs()&^s.PCRs == 0 {
			covering = append(covering, s.Bank)
		}
	}
	for _, b := range p.Boot.Banks() {
		if slices.Contains(covering, b) {
			return b
		}
	}
	if len(covering) == 0 {
		return 0
	}
	return slices.Max(covering)
}

// Logs are what a machine says of its boot.
type Logs struct {
	Boot    []byte // the firmware's; empty: none came
	Systemd []byte // systemd's own, which goes on from there; empty: none came
}

// Boot is what is known of a boot when the platform is judged.
type Boot struct {
	Logs
	Stands bool // it was judged by the policy in force, and BootValues is what it was
	Asked  bool // the quote covers all that the machine can be asked for
}

// Opinion is what the policies of a platform make of one evidence. The zero Opinion
// is that of none.
type Opinion struct {
	Boot, PCRs string // digests of the policies; wire.NotEvaluated or "": none
	BootWaits  bool   // the boot is not judged: the machine has to be asked for PCRs first
	PCRsWait   bool   // nor are single PCRs
	BootStands bool   // nothing new is said of the boot
	BootValues []byte // stands for the PCRs of the boot that were judged; nil: judge it again
	OfBoot     []BootFailure
	OfPCRs     []wire.Failure
	Conditions []wire.Failure // as in Outcome
}

// BootFailure is what is wrong with a boot. It is about no entry of the list: which
// event it is of, its message says.
type BootFailure struct {
	wire.Failure
	// Key tells it from others of its id: by what was measured where, else by what is
	// lacking. Another policy that finds the same has the same.
	Key []byte
}

// newBootFailure takes a failure whose Entry is an event of the boot log.
func newBootFailure(f wire.Failure) BootFailure {
	what, _, _ := strings.Cut(f.Message, "; nearest of ")
	if f.Entry != nil {
		what = fmt.Sprintf("event %d: %s", *f.Entry, f.Got)
	}
	key := sha256.Sum256([]byte(what))
	f.Entry = nil
	return BootFailure{f, key[:]}
}

// BootValues stands for the boot policy and the values of the PCRs that it judges,
// nil if the quote does not cover them: as long as it is the same there is nothing
// new to judge.
func (b *Begun) BootValues(p Platform) []byte {
	if p.Boot == nil {
		return nil
	}
	bank := p.bank(b.quote.PCRs())
	if bank == 0 {
		return nil
	}
	h := sha256.New()
	fmt.Fprintf(h, "quicklime-boot-values-1 %s %v", p.Boot.Digest(), bank)
	for i := range p.Boot.PCRs().All() {
		value, _ := b.quote.PCRs().Get(bank, i) // the bank covers it
		h.Write(value)
	}
	return h.Sum(nil)
}

// Opine judges boot and PCRs. What the quote does not cover is not judged as long
// as the machine was not asked for it, and then fails.
func (b *Begun) Opine(p Platform, k Boot) Opinion {
	var o Opinion
	o.Boot, o.PCRs = p.Digests()
	if p.PCRs != nil {
		if o.PCRsWait = !k.Asked && p.PCRs.Missing(b.quote, p.Lowest) != 0; !o.PCRsWait {
			o.OfPCRs = p.PCRs.Judge(b.quote, p.Lowest)
		}
	}
	if p.Boot == nil {
		return o
	}
	o.BootValues = b.BootValues(p)
	switch {
	case o.BootValues == nil && !k.Asked:
		o.BootWaits = true
	case k.Stands:
		o.BootStands = true
	case len(k.Logs.Boot) == 0:
		o.BootValues = nil // a log may still come
		o.Conditions = append(o.Conditions, wire.Failure{ID: wire.BootLogMissing, Message: "the machine has sent no boot log, so that its boot cannot be judged",
			Hint: "see the agent's log; a machine whose firmware keeps no log, or one of more than 1 MiB, can have no boot policy: \"quicklime-tenant agent update --no-boot-policy\""})
	default:
		o.OfBoot = b.boot(p, k.Logs)
	}
	return o
}

// maxBootFailures bounds what is recorded of one boot: twice what the four banks of
// PCRs 0 to 14 can have, and more events than a person reads.
const maxBootFailures = 120

// boot judges logs. Systemd's is read where a PCR that systemd extends is judged, and
// one that cannot be read fails: what it was to account for is not accounted for.
func (b *Begun) boot(p Platform, logs Logs) (all []BootFailure) {
	l, err := eventlog.Parse(logs.Boot)
	if err != nil {
		return []BootFailure{newBootFailure(bootpolicy.Unreadable(err))}
	}
	var fails []wire.Failure
	if p.Boot.PCRs()&pcr.Systemd != 0 {
		runtime, err := systemdlog.Parse(logs.Systemd)
		if err != nil {
			fails = append(fails, bootpolicy.UnreadableSystemdLog(err))
		}
		l = l.With(runtime)
	}
	fails = append(fails, p.Boot.Judge(l.ReplayIn(p.bank(b.quote.PCRs()), b.quote))...)
	if more := len(fails) - (maxBootFailures - 1); more > 1 {
		fails = append(fails[:maxBootFailures-1], wire.Failure{ID: fails[len(fails)-1].ID, Message: fmt.Sprintf("and %d more", more),
			Hint: "\"quicklime-tenant boot-policy test\" shows all of them"})
	}
	for _, f := range fails {
		all = append(all, newBootFailure(f))
	}
	return all
}
