package dm

import (
	"encoding/json"
	"strconv"
)

// Policy is a compiled device-mapper policy. The zero Policy has no rule, and so
// allows no device.
type Policy struct {
	byUUID  bool // match_on
	rules   []*rule
	named   map[string]*rule
	unknown []string
}

// Unknown returns the places of members that are no part of the format, in the
// order of the text, the first MaxReported of them.
func (p *Policy) Unknown() []string { return p.unknown }

// A rule judges the devices that its table_load fits.
type rule struct {
	name             string
	required         bool
	resumeRequired   bool
	newName, newUUID reference
	allowRemoval     bool
	allowClear       bool
	multipleLoads    bool
	device           map[string]reference // by the fields of a device
	numTargets       int
	targets          []targetRule // as many
}

// A targetRule is what a rule says of one target, in the order of the text.
type targetRule []attributeRule

type attributeRule struct {
	key string
	reference
}

// deviceFields are the fields of a device, in the order in which they are judged.
var deviceFields = []string{"name", "uuid", "major", "minor", "minor_count", "num_targets"}

// ParsePolicy reads and compiles a policy: the text of one JSON object. With
// problems, places within that object, there is no policy. It keeps nothing of
// text.
func ParsePolicy(text []byte) (*Policy, []Problem) {
	p := &parser{policy: &Policy{named: make(map[string]*rule)}}
	if root := p.read(text); root != nil {
		p.document(root)
	}
	if len(p.problems) > 0 {
		return nil, p.problems
	}
	return p.policy, nil
}

// parser collects what a policy's text says.
type parser struct {
	reader
	policy  *Policy
	program int // size of the expressions, see MaxProgram
}

// members calls the function named as each member of v, and reports those of
// needed that are not there.
func (p *parser) members(v *value, read map[string]func(*value), needed ...string) {
	there := make(map[string]bool)
	for _, m := range p.object(v) {
		there[m.Name] = true
		if f := read[m.Name]; f != nil {
			f(m)
		} else if len(p.policy.unknown) < MaxReported {
			p.policy.unknown = append(p.policy.unknown, m.Place())
		}
	}
	for _, name := range needed {
		if v.Token == json.Delim('{') && !there[name] {
			p.missing(v, name, wanted[name])
		}
	}
}

// wanted is what stands for members that are needed.
var wanted = map[string]string{
	"match_on":               `"name" or "uuid"`,
	"rules":                  "an object with a rule for each device",
	"device_resume_required": "true or false",
	"table_load":             "an object",
	"allow_multiple_loads":   "true or false",
	"name":                   "an expression, or null for any",
	"uuid":                   "an expression, or null for any",
	"major":                  "a number, or null for any",
	"minor":                  "a number, or null for any",
	"minor_count":            "a number, or null for any",
	"num_targets":            "the number of targets",
	"targets":                "an array, of {} for any target",
}

// flag makes a reader of a boolean.
func (p *parser) flag(b *bool) func(*value) {
	return func(v *value) { *b = p.boolean(v) }
}

func (p *parser) document(root *value) {
	var rules *value
	p.members(root, map[string]func(*value){
		"version":  p.version,
		"match_on": p.matchOn,
		"rules":    func(v *value) { rules = v },
	}, "match_on", "rules")
	if rules != nil {
		p.rules(rules)
	}
}

func (p *parser) version(v *value) {
	if v.Token != json.Number("1") {
		p.problem(v, "want 1, the one version there is")
	}
}

func (p *parser) matchOn(v *value) {
	switch v.Token {
	case "name":
	case "uuid":
		p.policy.byUUID = true
	default:
		p.problem(v, `want "name" or "uuid"`)
	}
}

func (p *parser) rules(v *value) {
	for i, m := range p.object(v) {
		switch {
		case i == MaxRules:
			p.problem(v, "more than %d rules: join some with expressions", MaxRules)
			return
		case len(m.Name) > MaxRuleName:
			p.problem(m, "the name of a rule has %d bytes, the limit is %d", len(m.Name), MaxRuleName)
		}
		r := p.rule(m)
		p.policy.rules = append(p.policy.rules, r)
		p.policy.named[r.name] = r
	}
}

func (p *parser) rule(v *value) *rule {
	r := &rule{name: v.Name, device: make(map[string]reference)}
	p.members(v, map[string]func(*value){
		"required":               p.flag(&r.required),
		"device_resume_required": p.flag(&r.resumeRequired),
		"allow_clear":            p.flag(&r.allowClear),
		"device_rename": func(v *value) {
			p.members(v, map[string]func(*value){
				"valid_name": func(v *value) { r.newName = p.renameReference(v) },
				"valid_uuid": func(v *value) { r.newUUID = p.renameReference(v) },
			})
		},
		"device_remove": func(v *value) {
			p.members(v, map[string]func(*value){"allow_removal": p.flag(&r.allowRemoval)})
		},
		"table_load": func(v *value) { p.tableLoad(v, r) },
	}, "device_resume_required", "table_load")
	return r
}

func (p *parser) tableLoad(v *value, r *rule) {
	read := map[string]func(*value){
		"allow_multiple_loads": p.flag(&r.multipleLoads),
		"targets":              func(v *value) { r.targets = p.targets(v) },
	}
	for _, field := range deviceFields {
		read[field] = func(v *value) { r.device[field] = p.reference(v) }
	}
	read[p.key()] = func(v *value) {
		if _, ok := v.Token.(string); !ok {
			p.problem(v, "%s, want an expression: match_on says that it tells the devices of the rule", v.Kind())
		}
		r.device[p.key()] = p.reference(v)
	}
	read["num_targets"] = func(v *value) {
		r.device["num_targets"] = p.reference(v)
		r.numTargets = p.count(v)
	}
	before := len(p.problems)
	p.members(v, read, append([]string{"allow_multiple_loads", "targets"}, deviceFields...)...)
	if len(p.problems) == before && r.numTargets != len(r.targets) {
		p.problem(v, "num_targets is %d, and targets has %d: list each target, {} is one of any kind", r.numTargets, len(r.targets))
	}
}

// key is the field that tells devices apart.
func (p *parser) key() string { return p.policy.key() }

func (p *Policy) key() string {
	if p.byUUID {
		return "uuid"
	}
	return "name"
}

// count reads the number of targets; Keylime takes true for 1.
func (p *parser) count(v *value) int {
	switch t := v.Token.(type) {
	case bool:
		if t {
			return 1
		}
		return 0
	case json.Number:
		n, err := strconv.Atoi(t.String())
		if err != nil || n < 0 || n > MaxTargets {
			p.problem(v, "want a number up to %d", MaxTargets)
		}
		return n
	}
	p.wrong(v, "a number")
	return 0
}

func (p *parser) targets(v *value) (all []targetRule) {
	for _, e := range p.array(v) {
		t := targetRule{}
		for _, m := range p.object(e) {
			if m.Name == deviceList && m.Token != nil {
				p.problem(m, "want null: write mirror_device_0, mirror_device_0_status and so on")
				continue
			}
			t = append(t, attributeRule{m.Name, p.reference(m)})
		}
		all = append(all, t)
	}
	return all
}
