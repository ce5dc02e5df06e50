// Package severity says how much a failure weighs. An operator orders labels from
// the lowest to the highest and gives kinds of failures a label, in Keylime's form
// (keylime/failure.py; severity_labels and severity_policy of verifier.conf): of
// the rules {event_id, severity_label} the first whose expression matches the
// whole id decides, and what none matches has the highest label.
//
// A failure of the highest label is decisive: the machine is untrusted as long as
// it stands. One of another label is tolerated: it is recorded, shown, counted and
// cleared like any other, and leaves the machine trusted.
//
// Two things are not the operator's to choose. What says that nothing ties a list
// to the boot has the highest label, as in Keylime whatever ends a validation does.
// And what a runtime policy wants to be warned of is never decisive: it has the
// label "warning", or the lowest if that is none below the highest.
//
// A label is no acceptance. Evidence that proves nothing, or whose list is not
// certified, brings no trust, whatever its failure weighs: what older evidence
// brought ends.
//
// The package is pure. A Scale is immutable and may be shared.
package severity

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"

	"quicklime/verifier/policy/expression"
	"quicklime/wire"
)

// DefaultLabels returns Keylime's labels, the lowest first.
func DefaultLabels() []string {
	return []string{"info", "notice", "warning", "error", "critical", "alert", "emergency"}
}

// Rule gives the failures whose whole id an expression matches a label.
type Rule struct {
	EventID string `toml:"event_id"` // RE2
	Label   string `toml:"severity_label"`
}

// Scale is a compiled configuration. The nil Scale has the default labels and no
// rules.
type Scale struct {
	labels []string
	rules  []rule
	digest string
}

// rule is a compiled Rule.
type rule struct {
	expression *regexp.Regexp
	below      int
}

var fallback = &Scale{labels: DefaultLabels(), digest: digest(DefaultLabels(), nil)}

// New compiles labels, the lowest first, and rules. An error begins with the place
// of what is wrong: severity_labels[1], severity_policy[0].event_id.
func New(labels []string, rules []Rule) (*Scale, error) {
	if err := checkLabels(labels); err != nil {
		return nil, err
	}
	if rules != nil && len(rules) == 0 {
		return nil, fmt.Errorf("severity_policy is empty: leave it out, or name what is not of the highest label")
	}
	if len(rules) > MaxRules {
		return nil, fmt.Errorf("severity_policy has %d rules, the limit is %d", len(rules), MaxRules)
	}
	s := &Scale{labels: slices.Clone(labels), digest: digest(labels, rules)}
	for i, r := range rules {
		compiled, err := s.compile(r)
		if err != nil {
			return nil, fmt.Errorf("severity_policy[%d].%w", i, err)
		}
		s.rules = append(s.rules, compiled)
	}
	return s, nil
}

func checkLabels(labels []string) error {
	if len(labels) < 2 || len(labels) > MaxLabels {
		return fmt.Errorf("severity_labels has %d labels, want 2 to %d: those below the last leave a machine trusted", len(labels), MaxLabels)
	}
	for i, l := range labels {
		if !wire.Printable(l, MaxLabel) || l == "" {
			return fmt.Errorf("severity_labels[%d]: want 1 to %d printable characters, not %q", i, MaxLabel, l)
		}
		if slices.Contains(labels[:i], l) {
			return fmt.Errorf("severity_labels[%d]: %q is there already", i, l)
		}
	}
	return nil
}

func (s *Scale) compile(r Rule) (rule, error) {
	if r.EventID == "" || len(r.EventID) > MaxExpression {
		return rule{}, fmt.Errorf("event_id: want an expression of 1 to %d bytes, not of %d", MaxExpression, len(r.EventID))
	}
	tree, err := syntax.Parse(r.EventID, syntax.Perl)
	if err != nil {
		return rule{}, fmt.Errorf("event_id: %w", err)
	}
	at := slices.Index(s.labels, r.Label)
	if at < 0 {
		return rule{}, fmt.Errorf("severity_label: %q is none of severity_labels", r.Label)
	}
	x, err := expression.Whole(tree)
	if err != nil {
		return rule{}, fmt.Errorf("event_id: %w", err)
	}
	return rule{x, len(s.labels) - 1 - at}, nil
}

func digest(labels []string, rules []Rule) string {
	b, err := json.Marshal([]any{labels, rules})
	if err != nil {
		panic(err) // strings only
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func (s *Scale) orDefault() *Scale {
	if s == nil {
		return fallback
	}
	return s
}

// Digest stands for the configuration: another one has another.
func (s *Scale) Digest() string { return s.orDefault().digest }

// Below returns how many labels a failure is below the highest; 0: it is decisive.
// Warned is whether a runtime policy wants no more than to be warned of it.
func (s *Scale) Below(id wire.FailureID, warned bool) int {
	s = s.orDefault()
	if warned {
		return s.warning()
	}
	if slices.Contains(untied, id) {
		return 0
	}
	return s.ruled(id)
}

// untied says that nothing ties a list to the boot.
var untied = []wire.FailureID{wire.IMABootAggregate, wire.IMANotMeasuring}

// Overruled returns the failures that have the highest label though a rule gives
// them another.
func (s *Scale) Overruled() (ids []wire.FailureID) {
	for _, id := range untied {
		if s.orDefault().ruled(id) > 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// ruled is what the rules alone say.
func (s *Scale) ruled(id wire.FailureID) int {
	for _, r := range s.rules {
		if r.expression.MatchString(string(id)) {
			return r.below
		}
	}
	return 0
}

func (s *Scale) warning() int {
	if at := slices.Index(s.labels, "warning"); at >= 0 && at < len(s.labels)-1 {
		return len(s.labels) - 1 - at
	}
	return len(s.labels) - 1
}

// Label returns a failure with its label.
func (s *Scale) Label(f wire.Failure) wire.Failure {
	below := s.Below(f.ID, f.Warned)
	f.Severity, f.Tolerated = s.Name(below), below > 0
	return f
}

// Name returns the label that is so many below the highest; the lowest if there
// are not as many.
func (s *Scale) Name(below int) string {
	s = s.orDefault()
	return s.labels[max(0, len(s.labels)-1-max(0, below))]
}
