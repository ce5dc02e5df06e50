package policy

import (
	"errors"
	"testing"
)

// What is wrong with device-mapper rules is told with its line of the whole policy.
func TestProblemsOfDeviceRulesHaveTheirLine(t *testing.T) {
	_, err := Parse([]byte("{\"meta\": {\"version\": 1},\n\"ima\": {\"dm_policy\":\n{\"version\": 1, \"match_on\": \"name\",\n\"rules\": {\"root\": {\n\"required\": \"yes\"}}}}}"))
	var problems *Error
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	for _, p := range problems.Problems {
		want := 4
		if p.Place == "ima.dm_policy.rules.root.required" {
			want = 5
		}
		if p.Line != want {
			t.Errorf("%s is in line %d, want %d", p, p.Line, want)
		}
	}
}
