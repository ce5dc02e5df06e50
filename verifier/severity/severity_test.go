package severity_test

import (
	"strings"
	"testing"

	"quicklime/verifier/severity"
	"quicklime/wire"
)

func scale(t *testing.T, labels []string, rules ...severity.Rule) *severity.Scale {
	t.Helper()
	s, err := severity.New(labels, rules)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestI07_I18_Labels(t *testing.T) {
	labels := severity.DefaultLabels()
	s := scale(t, labels, severity.Rule{`ima\.validation\..*`, "error"}, severity.Rule{`ima\.validation\.tomtou`, "info"}, severity.Rule{"identity|epoch", "info"},
		severity.Rule{`ima\.(boot_aggregate|not_measuring)`, "info"})
	for _, c := range []struct {
		name   string
		scale  *severity.Scale
		id     wire.FailureID
		warned bool
		want   string
	}{
		{"the rule that matches", s, wire.IMAWrongDigest, false, "error"},
		{"the first that does", s, wire.IMAViolation, false, "error"},
		{"none", s, wire.IMAMismatch, false, "emergency"},
		{"a part of the id", s, wire.IdentityDuplicate, false, "emergency"},
		{"a part of the id behind a bar", s, wire.EpochRollback, false, "emergency"},
		{"more than the id", s, "ima.validation.", false, "error"},
		{"not its beginning", s, "x.ima.validation.x", false, "emergency"},
		{"another boot's list", s, wire.IMABootAggregate, false, "emergency"},
		{"IMA switched off", s, wire.IMANotMeasuring, false, "emergency"},
		{"a warning", s, wire.IMAViolation, true, "warning"},
		{"the default", nil, wire.IMAViolation, false, "emergency"},
		{"a warning by default", nil, wire.IMAViolation, true, "warning"},
		{"a warning without its label", scale(t, []string{"low", "high"}), wire.IMAViolation, true, "low"},
		{"a warning that would be decisive", scale(t, []string{"info", "warning"}), wire.IMAViolation, true, "info"},
	} {
		f := c.scale.Label(wire.Failure{ID: c.id, Warned: c.warned})
		if f.Severity != c.want || f.Tolerated != (c.scale.Below(c.id, c.warned) > 0) {
			t.Errorf("%s: %q, tolerated %v, want %q", c.name, f.Severity, f.Tolerated, c.want)
		}
		if c.warned && !f.Tolerated {
			t.Errorf("%s is decisive", c.name)
		}
	}
}

func TestOverruled(t *testing.T) {
	for rule, want := range map[string]int{".*": 2, `ima\.boot_aggregate`: 1, `ima\.validation.*`: 0} {
		if got := scale(t, severity.DefaultLabels(), severity.Rule{rule, "info"}).Overruled(); len(got) != want {
			t.Errorf("%s: %v", rule, got)
		}
	}
	if got := (*severity.Scale)(nil).Overruled(); got != nil {
		t.Errorf("by default: %v", got)
	}
}

func TestNames(t *testing.T) {
	s := scale(t, []string{"low", "high"})
	for below, want := range map[int]string{-1: "high", 0: "high", 1: "low", 2: "low"} {
		if got := s.Name(below); got != want {
			t.Errorf("%d below the highest: %q, want %q", below, got, want)
		}
	}
}

// Configurations that decide differently have different digests.
func TestDigest(t *testing.T) {
	var none *severity.Scale
	if none.Digest() != scale(t, severity.DefaultLabels()).Digest() {
		t.Error("the default has another digest if it is configured")
	}
	seen := map[string]int{}
	for i, s := range []*severity.Scale{
		none,
		scale(t, []string{"low", "high"}),
		scale(t, []string{"high", "low"}),
		scale(t, []string{"low", "high"}, severity.Rule{"a", "low"}, severity.Rule{"b", "high"}),
		scale(t, []string{"low", "high"}, severity.Rule{"b", "high"}, severity.Rule{"a", "low"}),
		scale(t, []string{"low", "high"}, severity.Rule{"alow", "low"}, severity.Rule{"b", "high"}),
	} {
		if j, there := seen[s.Digest()]; there {
			t.Errorf("%d and %d have the same digest", i, j)
		}
		seen[s.Digest()] = i
	}
}

func TestI04_ErrorsSayWhere(t *testing.T) {
	two := []string{"low", "high"}
	many := make([]string, severity.MaxLabels+1)
	for i := range many {
		many[i] = strings.Repeat("x", i+1)
	}
	for _, c := range []struct {
		labels []string
		rules  []severity.Rule
		want   string
	}{
		{nil, nil, "severity_labels has 0 labels"},
		{[]string{"one"}, nil, "severity_labels has 1 labels"},
		{many, nil, "severity_labels has 17 labels"},
		{[]string{"a", ""}, nil, "severity_labels[1]: "},
		{[]string{"a", "b\n"}, nil, "severity_labels[1]: "},
		{[]string{"a", strings.Repeat("b", severity.MaxLabel+1)}, nil, "severity_labels[1]: "},
		{[]string{"a", "b", "a"}, nil, `severity_labels[2]: "a" is there already`},
		{two, []severity.Rule{}, "severity_policy is empty"},
		{two, make([]severity.Rule, severity.MaxRules+1), "severity_policy has 257 rules"},
		{two, []severity.Rule{{"a", "low"}, {"b", "medium"}}, `severity_policy[1].severity_label: "medium" is none of`},
		{two, []severity.Rule{{"", "low"}}, "severity_policy[0].event_id: "},
		{two, []severity.Rule{{"a(", "low"}}, "severity_policy[0].event_id: error parsing regexp"},
		{two, []severity.Rule{{"a)|(b", "low"}}, "severity_policy[0].event_id: error parsing regexp"},
		{two, []severity.Rule{{"(?=a)", "low"}}, "severity_policy[0].event_id: error parsing regexp"},
		{two, []severity.Rule{{strings.Repeat("a", severity.MaxExpression+1), "low"}}, "severity_policy[0].event_id: "},
	} {
		if _, err := severity.New(c.labels, c.rules); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("error is %v, want %s…", err, c.want)
		}
	}
}
