package imapolicy

import (
	"slices"
	"strings"
)

// What the policies measure that are built into the kernel (ima_policy.c); tcb is that
// of Linux 4.6 and later.
const (
	dontMeasure = `dont_measure fsmagic=0x9fa0
dont_measure fsmagic=0x62656572
dont_measure fsmagic=0x64626720
dont_measure fsmagic=0x1021994
dont_measure fsmagic=0x1cd1
dont_measure fsmagic=0x42494e4d
dont_measure fsmagic=0x73636673
dont_measure fsmagic=0xf97cff8c
dont_measure fsmagic=0x43415d53
dont_measure fsmagic=0x27e0eb
dont_measure fsmagic=0x63677270
dont_measure fsmagic=0x6e736673
dont_measure fsmagic=0xde5e81e4
measure func=MMAP_CHECK mask=MAY_EXEC
measure func=BPRM_CHECK mask=MAY_EXEC
`
	originalTCB = dontMeasure + `measure func=FILE_CHECK mask=MAY_READ uid=0
measure func=MODULE_CHECK
measure func=FIRMWARE_CHECK
`
	defaultTCB = dontMeasure + `measure func=FILE_CHECK mask=^MAY_READ euid=0
measure func=FILE_CHECK mask=^MAY_READ uid=0
measure func=MODULE_CHECK
measure func=FIRMWARE_CHECK
measure func=POLICY_CHECK
`
	criticalData = "measure func=CRITICAL_DATA\n"
)

// BuiltIn returns what the built-in policies measure that a kernel's command line asks
// for, and their names. What the architecture adds under Secure Boot, and what only
// appraises, is left out.
func BuiltIn(cmdline string) (p Policy, names []string) {
	for _, param := range params(cmdline) {
		switch key, value, _ := strings.Cut(param, "="); key {
		case "ima_tcb":
			names = append(names, "ima_tcb")
		case "ima_policy":
			names = append(names, strings.FieldsFunc(value, func(c rune) bool { return c == ' ' || c == '|' || c == '\n' })...)
		}
	}
	text := ""
	switch tcb := slices.IndexFunc(names, func(n string) bool { return n == "tcb" || n == "ima_tcb" }); { // the first counts
	case tcb < 0:
	case names[tcb] == "tcb":
		text = defaultTCB
	default:
		text = originalTCB
	}
	if slices.Contains(names, "critical_data") {
		text += criticalData
	}
	p, _ = Parse(text) // a test parses each
	return p, names
}

// params splits a command line as the kernel does (lib/cmdline.c, next_arg): blanks in
// double quotes do not separate, "--" ends what is the kernel's.
func params(cmdline string) (list []string) {
	quoted := false
	for _, param := range strings.FieldsFunc(cmdline, func(c rune) bool {
		if c == '"' {
			quoted = !quoted
		}
		return !quoted && (c == ' ' || c == '\t' || c == '\n')
	}) {
		if param == "--" {
			break
		}
		list = append(list, strings.ReplaceAll(param, `"`, ""))
	}
	return list
}
