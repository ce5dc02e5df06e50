// Package imapolicy reads the policy language of the kernel's IMA and says what a
// policy measures.
//
// The language is that of Documentation/ABI/testing/ima_policy as ima_policy.c of
// Linux 6.12 parses it:
//
//	policy    = { line "\n" }
//	line      = blank | "#" comment | rule
//	rule      = action { option }, separated by blanks and tabs, in any order
//	action    = measure | dont_measure | appraise | dont_appraise | audit | hash | dont_hash
//	option    = func= | mask= | fsmagic= | fsname= | fsuuid= | pcr= | template=
//	          | uid euid gid egid fowner fgroup, each with = > or <
//	          | obj_user= obj_role= obj_type= subj_user= subj_role= subj_type=
//	          | keyrings= | label= (lists, "|" between them)
//	          | digest_type= appraise_type= appraise_flag= appraise_algos= permit_directio
//
// What the kernel refuses in one rule it refuses with the whole policy, and so does
// Parse. Which of func's values and of the options a kernel has depends on its age;
// Parse takes all of them.
package imapolicy

import (
	"errors"
	"fmt"
	"strings"
)

// MaxPolicy bounds a policy: the kernel prints less than 200 bytes a rule, and the
// longest in use have some hundred.
const MaxPolicy = 1 << 20 // bytes

// ErrMalformed says that the kernel would refuse the policy.
var ErrMalformed = errors.New("not an IMA policy")

// Action is what a rule does.
type Action string

// The actions that decide what is measured. Parse knows the others, too.
const (
	Measure     Action = "measure"
	DontMeasure Action = "dont_measure"
)

var actions = []Action{Measure, DontMeasure, "appraise", "dont_appraise", "audit", "hash", "dont_hash"}

// Hook is where the kernel asks its policy, the value of func.
type Hook string

// The hooks that measure.
const (
	AnyHook             Hook = "" // a rule without func
	BPRMCheck           Hook = "BPRM_CHECK"
	MMAPCheck           Hook = "MMAP_CHECK"
	FileCheck           Hook = "FILE_CHECK"
	ModuleCheck         Hook = "MODULE_CHECK"
	FirmwareCheck       Hook = "FIRMWARE_CHECK"
	PolicyCheck         Hook = "POLICY_CHECK"
	KexecKernelCheck    Hook = "KEXEC_KERNEL_CHECK"
	KexecInitramfsCheck Hook = "KEXEC_INITRAMFS_CHECK"
	KexecCmdline        Hook = "KEXEC_CMDLINE"
	KeyCheck            Hook = "KEY_CHECK"
	CriticalData        Hook = "CRITICAL_DATA"
)

var hooks = []Hook{BPRMCheck, MMAPCheck, FileCheck, ModuleCheck, FirmwareCheck, PolicyCheck, KexecKernelCheck, KexecInitramfsCheck,
	KexecCmdline, KeyCheck, CriticalData, "CREDS_CHECK", "MMAP_CHECK_REQPROT", "POST_SETATTR", "SETXATTR_CHECK"}

// alias are older names of hooks.
var alias = map[string]Hook{"PATH_CHECK": FileCheck, "FILE_MMAP": MMAPCheck}

// Condition is an option that narrows what a rule matches.
type Condition struct {
	Key   string // "fsmagic"
	Op    byte   // '=', '<' or '>'
	Value string
}

func (c Condition) String() string { return c.Key + string(c.Op) + c.Value }

// Rule is one rule.
type Rule struct {
	Line       int // in the text, from 1
	Action     Action
	Hook       Hook
	Mask       string      // MAY_READ and so on; "": any
	InMask     bool        // Mask is one of several that may be asked for ("^")
	PCR        int         // -1: the kernel's, 10
	Template   string      // "": the kernel's
	Conditions []Condition // all of them have to hold

	options []string // that decide nothing about measuring
}

// Policy is a policy's rules, in order: the first that matches decides.
type Policy []Rule

// String writes the rule as a policy has it, but for the options that decide nothing
// about measuring.
func (r Rule) String() string {
	words := []string{string(r.Action)}
	if r.Hook != AnyHook {
		words = append(words, "func="+string(r.Hook))
	}
	if r.Mask != "" {
		words = append(words, "mask="+map[bool]string{true: "^"}[r.InMask]+r.Mask)
	}
	for _, c := range r.Conditions {
		words = append(words, c.String())
	}
	if r.PCR >= 0 {
		words = append(words, fmt.Sprintf("pcr=%d", r.PCR))
	}
	if r.Template != "" {
		words = append(words, "template="+r.Template)
	}
	return strings.Join(words, " ")
}
