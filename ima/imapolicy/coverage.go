package imapolicy

import (
	"slices"
	"strconv"
	"strings"
)

// Question is what a policy may measure.
type Question struct {
	Hook Hook
	Data string // a keyring of KEY_CHECK or a label of CRITICAL_DATA; "": each of them
	Root bool   // what root does, else what anybody does
}

// Coverage says how much of what was asked a policy measures.
type Coverage struct {
	Measured bool   // at least some of it
	Only     []Rule // it measures no more than these, which have conditions; empty: all
	Except   []Rule // what these match is left out first
}

// Full reports whether nothing is left out.
func (c Coverage) Full() bool { return c.Measured && len(c.Only) == 0 && len(c.Except) == 0 }

// Covers goes through the policy as the kernel does (ima_match_policy): the first rule
// about measuring that matches decides.
//
// Exceptions for file systems whose files no user can write and that hold no program
// (proc, sysfs, securityfs and the like) are none.
func (p Policy) Covers(q Question) (c Coverage) {
	for _, r := range p {
		if r.Action != Measure && r.Action != DontMeasure {
			continue
		}
		rest, matches := r.narrow(q)
		switch {
		case !matches:
		case r.Action == DontMeasure && len(rest) == 0:
			return c
		case r.Action == DontMeasure:
			if !slices.ContainsFunc(rest, pseudo) {
				c.Except = append(c.Except, r)
			}
		case len(rest) == 0:
			return Coverage{Measured: true, Except: c.Except}
		default:
			c.Measured = true
			c.Only = append(c.Only, r)
		}
	}
	if !c.Measured {
		c.Except = nil
	}
	return c
}

// narrow reports whether a rule can match what is asked, and which of its conditions
// then narrow it.
func (r Rule) narrow(q Question) (rest []Condition, matches bool) {
	exact := q.Hook == KeyCheck || q.Hook == CriticalData // ima_match_rules asks these first
	if r.Hook != q.Hook && (r.Hook != AnyHook || exact) {
		return nil, false
	}
	if r.Mask != "" {
		if r.Mask != asks(q.Hook) {
			return nil, false
		}
		if !r.InMask && q.Hook == FileCheck { // a file that is opened to be read and written is another mask
			rest = append(rest, Condition{"mask", '=', r.Mask})
		}
	}
	for _, c := range r.Conditions {
		switch {
		case q.Data != "" && (c.Key == "keyrings" || c.Key == "label"):
			if !slices.Contains(strings.Split(c.Value, "|"), q.Data) {
				return nil, false
			}
		case q.Root && (c.Key == "uid" || c.Key == "euid"):
			if !c.holds(0) {
				return nil, false
			}
		default:
			rest = append(rest, c)
		}
	}
	return rest, true
}

// asks is the mask with which the kernel asks its policy at a hook (ima_main.c); of
// FILE_CHECK, that of reading.
func asks(h Hook) string {
	switch h {
	case BPRMCheck, MMAPCheck:
		return "MAY_EXEC"
	case KexecCmdline, KeyCheck, CriticalData:
		return "no mask"
	}
	return "MAY_READ"
}

// holds compares a number with that of the condition.
func (c Condition) holds(n uint64) bool {
	v, _ := strconv.ParseUint(c.Value, 10, 32) // Parse has checked it
	return c.Op == '=' && n == v || c.Op == '<' && n < v || c.Op == '>' && n > v
}

// pseudo reports whether a condition confines a rule to a file system of the kernel's
// own (include/uapi/linux/magic.h).
func pseudo(c Condition) bool {
	magic, err := strconv.ParseUint(strings.TrimPrefix(strings.ToLower(c.Value), "0x"), 16, 64)
	return c.Key == "fsmagic" && err == nil && slices.Contains([]uint64{
		0x9fa0,     // proc
		0x62656572, // sysfs
		0x64626720, // debugfs
		0x74726163, // tracefs
		0x1cd1,     // devpts
		0x42494e4d, // binfmt_misc
		0x73636673, // securityfs
		0xf97cff8c, // selinuxfs
		0x43415d53, // smackfs
		0x27e0eb,   // cgroup
		0x63677270, // cgroup2
		0x6e736673, // nsfs
		0xde5e81e4, // efivarfs
		0x6165676c, // pstore
		0xcafe4a11, // bpf
	}, magic)
}

// OtherPCRs lists the rules that measure into another PCR than 10.
func (p Policy) OtherPCRs() (rules []Rule) {
	for _, r := range p {
		if r.PCR >= 0 && r.PCR != 10 {
			rules = append(rules, r)
		}
	}
	return rules
}
