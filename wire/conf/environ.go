package conf

import (
	"fmt"
	"slices"
	"strings"
)

// loadEnviron sets the options that environ names for component.
func (o options) loadEnviron(component string, environ []string) error {
	prefix := "QUICKLIME_" + variable(component) + "_"
	names, err := o.variables(prefix)
	if err != nil {
		return err
	}
	for _, kv := range environ {
		key, value, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		name, ok := names[key]
		if !ok {
			return fmt.Errorf("environment variable %s: unknown option%s", key, nearest(key, names))
		}
		if err := o.byName[name].set(value); err != nil {
			return fmt.Errorf("environment variable %s: want %s: %w", key, o.byName[name].words(), err)
		}
	}
	return nil
}

// variables maps the name of each option's variable to that of the option.
func (o options) variables(prefix string) (map[string]string, error) {
	m := map[string]string{}
	for name := range o.byName {
		v := prefix + variable(name)
		if other, taken := m[v]; taken {
			return nil, fmt.Errorf("options %s and %s have the same environment variable %s", name, other, v)
		}
		m[v] = name
	}
	return m, nil
}

// variable turns a name into the form it has in the environment.
func variable(name string) string {
	return strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(name))
}

// suggest proposes the option or table whose name is close to name.
func (o options) suggest(name string) string {
	all := map[string]string{}
	for n := range o.byName {
		all[n] = n
	}
	for n := range o.tables {
		all[n] = n
	}
	return nearest(name, all)
}

// nearest returns "; did you mean …?" with the key of names that is fewest
// changes away from name, or "" if none is close.
func nearest[V any](name string, names map[string]V) string {
	best, found := 1+max(1, min(3, len(name)/3)), ""
	for n := range names {
		if d := distance(name, n); d < best || d == best && found != "" && n < found {
			best, found = d, n
		}
	}
	if found == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", found)
}

// distance is the Levenshtein distance of a and b: the fewest bytes to insert,
// delete or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1) // row[j]: distance of what was read of a from b[:j]
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = slices.Min([]int{cost, row[j] + 1, row[j+1] + 1})
		}
	}
	return row[len(b)]
}
