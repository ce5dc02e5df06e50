package imapolicy

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Parse reads a policy. An error is ErrMalformed and names the line.
func Parse(text string) (Policy, error) {
	if len(text) > MaxPolicy {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrMalformed, len(text), MaxPolicy)
	}
	var p Policy
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		n++
		line = strings.TrimLeft(line, " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		r, err := parseRule(line)
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrMalformed, n, err)
		}
		r.Line = n
		p = append(p, r)
	}
	return p, nil
}

func parseRule(line string) (Rule, error) {
	r := Rule{PCR: -1}
	for word := range strings.FieldsFuncSeq(line, func(c rune) bool { return c == ' ' || c == '\t' }) {
		if err := r.word(word); err != nil {
			return Rule{}, err
		}
	}
	return r, r.check()
}

// word takes an action or an option.
func (r *Rule) word(word string) error {
	at := strings.IndexAny(word, "=<>")
	if at < 0 {
		if word == "permit_directio" {
			r.options = append(r.options, word)
			return nil
		}
		if !slices.Contains(actions, Action(word)) {
			return fmt.Errorf("unknown word %q", word)
		}
		if r.Action != "" {
			return fmt.Errorf("two actions, %s and %s", r.Action, word)
		}
		r.Action = Action(word)
		return nil
	}
	c := Condition{word[:at], word[at], word[at+1:]}
	check, ok := values[c.Key]
	if !ok || c.Op != '=' && !slices.Contains(ordered, c.Key) {
		return fmt.Errorf("unknown option %q", word)
	}
	if r.has(c.Key) {
		return fmt.Errorf("two options %s", c.Key)
	}
	if err := check(c.Value); err != nil {
		return fmt.Errorf("%s: %w", word, err)
	}
	return r.option(c)
}

func (r *Rule) has(key string) bool {
	place := func(key string) string {
		if other, ok := same[key]; ok {
			return other
		}
		return key
	}
	switch key {
	case "func":
		return r.Hook != AnyHook
	case "mask":
		return r.Mask != ""
	case "pcr":
		return r.PCR >= 0
	case "template":
		return r.Template != ""
	}
	return slices.ContainsFunc(r.Conditions, func(c Condition) bool { return place(c.Key) == place(key) })
}

func (r *Rule) option(c Condition) error {
	switch c.Key {
	case "func":
		r.Hook = Hook(c.Value)
		if h, ok := alias[c.Value]; ok {
			r.Hook = h
		}
	case "mask":
		r.Mask, r.InMask = strings.CutPrefix(c.Value, "^")
	case "pcr":
		r.PCR, _ = strconv.Atoi(c.Value) // values has checked it
	case "template":
		if r.Action != Measure { // the kernel wants the action before
			return errors.New("template= before or without measure")
		}
		r.Template = c.Value
	case "digest_type", "appraise_type", "appraise_flag", "appraise_algos":
		r.options = append(r.options, c.Key)
	default:
		r.Conditions = append(r.Conditions, c)
	}
	return nil
}

func oneOf(words ...string) func(string) error {
	return func(v string) error {
		if !slices.Contains(words, v) {
			return fmt.Errorf("want one of %s", strings.Join(words, ", "))
		}
		return nil
	}
}

func number(base, bits int) func(string) error {
	return func(v string) error {
		if base == 16 {
			v = strings.TrimPrefix(strings.TrimPrefix(v, "0x"), "0X")
		}
		_, err := strconv.ParseUint(v, base, bits)
		return err
	}
}

func something(v string) error {
	if v == "" {
		return errors.New("no value")
	}
	return nil
}

func items(v string) error {
	if slices.Contains(strings.Split(v, "|"), "") {
		return errors.New("an empty item")
	}
	return nil
}

func uuid(v string) error {
	for i, c := range []byte(v) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (c == '-') || !dash && !strings.ContainsRune("0123456789abcdefABCDEF", rune(c)) {
			return errors.New("not a UUID")
		}
	}
	if len(v) != 36 {
		return errors.New("not a UUID")
	}
	return nil
}

// check is the kernel's ima_validate_rule, as far as it concerns measuring.
func (r Rule) check() error {
	switch {
	case r.Action == "":
		return errors.New("no action")
	case r.PCR >= 0 && r.Action != Measure:
		return fmt.Errorf("%s with pcr=", r.Action)
	case r.Action != "appraise" && slices.ContainsFunc(r.options, func(o string) bool { return strings.HasPrefix(o, "appraise_") }):
		return fmt.Errorf("%s with an option of appraise", r.Action)
	}
	measuring := r.Action == Measure || r.Action == DontMeasure
	var may []string // conditions
	switch r.Hook {
	case KexecCmdline:
		if r.Mask != "" || !measuring {
			return fmt.Errorf("%s of %s with this action or mask", r.Action, r.Hook)
		}
		return nil
	case KeyCheck:
		may = []string{"uid", "gid", "keyrings"}
	case CriticalData:
		may = []string{"uid", "gid", "label"}
	case "SETXATTR_CHECK":
		if r.Action != "appraise" || !slices.Contains(r.options, "appraise_algos") || r.Mask != "" {
			return errors.New("SETXATTR_CHECK without appraise and appraise_algos")
		}
	default:
		for _, c := range r.Conditions {
			if c.Key == "keyrings" || c.Key == "label" {
				return fmt.Errorf("%s= with another hook than its own", c.Key)
			}
		}
		return nil
	}
	if r.Hook != "SETXATTR_CHECK" && !measuring || r.Mask != "" {
		return fmt.Errorf("%s of %s with this action or mask", r.Action, r.Hook)
	}
	for _, c := range r.Conditions {
		if !slices.Contains(may, c.Key) {
			return fmt.Errorf("%s with %s=", r.Hook, c.Key)
		}
	}
	return nil
}

// same are options that the kernel keeps in one place.
var same = map[string]string{"euid": "uid", "egid": "gid"}

// ordered are the options that compare numbers.
var ordered = []string{"uid", "euid", "gid", "egid", "fowner", "fgroup"}

// values has what the value of each option may be.
var values = map[string]func(string) error{
	"func": func(v string) error {
		if _, ok := alias[v]; !ok && !slices.Contains(hooks, Hook(v)) {
			return errors.New("unknown hook")
		}
		return nil
	},
	"mask":    oneOf("MAY_EXEC", "MAY_WRITE", "MAY_READ", "MAY_APPEND", "^MAY_EXEC", "^MAY_WRITE", "^MAY_READ", "^MAY_APPEND"),
	"fsmagic": number(16, 64), "pcr": number(10, 5),
	"uid": number(10, 32), "euid": number(10, 32), "gid": number(10, 32), "egid": number(10, 32), "fowner": number(10, 32), "fgroup": number(10, 32),
	"fsuuid": uuid, "fsname": something, "template": something,
	"obj_user": something, "obj_role": something, "obj_type": something,
	"subj_user": something, "subj_role": something, "subj_type": something,
	"keyrings": items, "label": items,
	"digest_type": oneOf("verity"), "appraise_type": oneOf("imasig", "imasig|modsig", "sigv3"),
	"appraise_flag": something, "appraise_algos": something,
}
