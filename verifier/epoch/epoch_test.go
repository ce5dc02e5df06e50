package epoch_test

import (
	"testing"

	"quicklime/verifier/epoch"
	"quicklime/wire"
)

func at(reset, restart uint32, boot byte) epoch.Epoch {
	return epoch.Epoch{Counters: wire.BootCounters{Reset: reset, Restart: restart}, Boot: [32]byte{boot}, AKName: []byte("ak")}
}

// I14: the pair of counters only grows, and one pair has one content.
func TestI14_Step(t *testing.T) {
	last := at(5, 3, 1)
	other := last
	other.AKName = []byte("another")
	for name, c := range map[string]struct {
		e    epoch.Epoch
		want epoch.Step
	}{
		"the same":                      {at(5, 3, 1), epoch.Same},
		"reset":                         {at(6, 0, 2), epoch.Reset},
		"reset, same content":           {at(6, 3, 1), epoch.Reset},
		"reset twice":                   {at(7, 0, 1), epoch.Reset},
		"restart":                       {at(5, 4, 1), epoch.Restart},
		"older reset":                   {at(4, 9, 1), epoch.Rollback},
		"older restart":                 {at(5, 2, 1), epoch.Rollback},
		"cleared":                       {at(0, 0, 1), epoch.Rollback},
		"same counters, other contents": {at(5, 3, 2), epoch.Rollback},
		"another AK":                    {other, epoch.Rollback},
	} {
		if got := c.e.Step(last); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestI14_IDsDiffer(t *testing.T) {
	seen := map[[32]byte]string{}
	other := at(1, 2, 3)
	other.AKName = []byte("other")
	for name, id := range map[string][32]byte{
		"one":               at(1, 2, 3).ID(1),
		"another enrolment": at(1, 2, 3).ID(2),
		"another reset":     at(2, 2, 3).ID(1),
		"another restart":   at(1, 3, 3).ID(1),
		"another boot":      at(1, 2, 4).ID(1),
		"another AK":        other.ID(1),
	} {
		if seen[id] != "" {
			t.Errorf("%s and %s have one id", name, seen[id])
		}
		seen[id] = name
	}
}
