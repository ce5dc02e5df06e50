package tenant

import (
	"context"
	"fmt"
	"strings"

	"quicklime/wire"
	"quicklime/wire/daemon"
)

// minPrefix is the fewest digits of an id that name an agent: fewer are met by
// chance in a fleet of some thousands.
const minPrefix = 6

// helpAgent says what commands take for AGENT.
const helpAgent = `AGENT is an agent's id, at least 6 digits from the beginning of it that no other
agent's id begins with, or a label that no other agent has.`

// resolve returns the id of the agent that arg names: an id, a unique prefix of
// one, or a unique label. What both servers know counts, so that a name means
// the same in every command; a machine chooses its label itself, so one that two
// share, or that looks like another's id, names nobody. While a server is down
// that the command does not need, what the other knows is enough.
func (s servers) resolve(ctx context.Context, arg string, needs reach) (string, error) {
	if wire.ValidID(arg) {
		return arg, nil
	}
	all := s.inventory(ctx)
	if err := all.missing(needs); err != nil {
		return "", err
	}
	var found []known
	for _, k := range all.machines {
		if isPrefix(arg, k.id) || k.labelled(arg) {
			found = append(found, k)
		}
	}
	switch {
	case len(found) == 1:
		return found[0].id, nil
	case len(found) > 1:
		return "", ambiguous(arg, found)
	case all.err() != nil:
		hint := "name the agent by its whole id"
		if reach := describe(all.err()).Hint; reach != "" {
			hint += "; or: " + reach
		}
		return "", daemon.WithHint(fmt.Errorf("cannot tell which agent %q is: %w", arg, all.err()), "%s", hint)
	}
	return "", daemon.WithHint(fmt.Errorf("no agent %q", arg), `"%s agent list" shows every agent; an id may be shortened to %d digits`, name, minPrefix)
}

func isPrefix(arg, id string) bool {
	return len(arg) >= minPrefix && strings.HasPrefix(id, strings.ToLower(arg))
}

// ambiguous lists what arg could mean, the first ten.
func ambiguous(arg string, found []known) error {
	const shown = 10
	var lines strings.Builder
	for i, k := range found {
		if i == shown {
			fmt.Fprintf(&lines, "\n  and %d more", len(found)-shown)
			break
		}
		fmt.Fprintf(&lines, "\n  %s  %s", k.id, printable(k.label()))
	}
	return daemon.WithHint(fmt.Errorf("%q is the name of %d agents:%s", arg, len(found), lines.String()),
		"use the whole id, or more digits of it")
}
