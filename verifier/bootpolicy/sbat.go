package bootpolicy

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"quicklime/verifier/eventlog"
)

// generations are the lowest generations that may be trusted, by component (shim:
// SBAT.md, "SbatLevel").
type generations map[string]uint64

// generationsOf reads {"shim": 4, "grub": 5}.
func (p *parser) generationsOf(v *value) generations {
	all := generations{}
	p.object(v, func(name string, m *value) {
		number, _ := m.Token.(json.Number)
		n, err := strconv.ParseUint(number.String(), 10, 64)
		if err != nil || n == 0 {
			p.problem(m, "%s, want a generation, a number from 1 on", m.Kind())
		}
		all[name] = n
	})
	return all
}

// revokes: SbatLevel revokes what is below the generations, or more. An event that is no
// level is a failure if one is asked for.
func (g generations) revokes(j *judgement, e eventlog.Event, v eventlog.Variable) {
	if len(g) == 0 {
		return
	}
	all, err := v.SBAT()
	if err != nil {
		j.fail(e, "", g.shown(), "shim has a fault, or something else measured it", "SbatLevel: %v", err)
		return
	}
	level := generations{}
	for _, c := range all {
		level[c.Name] = c.Generation
	}
	for _, name := range slices.Sorted(maps.Keys(g)) {
		if level[name] < g[name] {
			j.fail(e, strings.Join(level.shown(), ", "), g.shown(), "update shim, and have it take its newest level (\"mokutil --set-sbat-policy latest\"), then boot again; or find out who set it back",
				"SbatLevel revokes %s below generation %d, and sbat says %d", quote(name), level[name], g[name])
		}
	}
}

// sbatIsThere: shim measured its level, if one is asked for.
func (j *judgement) sbatIsThere(k kernel, events []eventlog.Event) {
	if k.shim == nil || len(j.sbat) == 0 || slices.ContainsFunc(events, isLevel) {
		return
	}
	j.lacks(7, j.sbat.shown(), "shim measures it: this one is too old", "SbatLevel was not measured")
}

func isLevel(e eventlog.Event) bool {
	v, ok := e.Data().(eventlog.Variable)
	return ok && v.Vendor == eventlog.ShimLock && v.Name == "SbatLevel"
}

func (g generations) shown() (all []string) {
	for _, name := range slices.Sorted(maps.Keys(g)) {
		all = append(all, fmt.Sprintf("%s %d", name, g[name]))
	}
	return all
}

// least is what both have, the lower of the two.
func (g generations) least(o generations) generations {
	all := generations{}
	for name, n := range g {
		if other, ok := o[name]; ok {
			all[name] = min(n, other)
		}
	}
	return all
}
