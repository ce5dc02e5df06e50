package refvalues

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"quicklime/ima"
	"quicklime/ima/digsig"
	"quicklime/verifier/policy"
	"quicklime/verifier/policy/dm"
)

// MaxUnlisted bounds the files that a Report names: a person looks into the
// first few.
const MaxUnlisted = 100

// Report says what became of the entries of a measurement list.
type Report struct {
	Entries        int // in the list; the sum of the next eight
	Files          int // whose digest is among the values
	Excluded       int // files that an exclusion matches
	Violations     int // entries of which nothing can be believed (I18)
	BootAggregates int // which differ between machines and are compared with the PCRs
	Keys           int // loaded into keyrings, whose digest is among the values
	Buffers        int // that are neither files nor keys, whose digest is among the values
	DeviceEvents   int // of device-mapper devices, which ima.dm_policy is to judge
	UnlistedCount  int

	Unlisted []Unlisted // the first MaxUnlisted of UnlistedCount
}

// Unlisted is an entry that the values cannot hold. A machine that measures it
// again will not be trusted, unless an exclusion matches it.
type Unlisted struct {
	Entry int    // index in the list
	Path  string // as Go quotes it; empty if the entry could not be read
	Why   string
}

// FromList collects the digests of all files of a measurement list, in the
// kernel's binary form, but of those that an exclusion matches, of the keys that were
// loaded, by keyring, and of other buffers. The exclusions become part of the values.
// What device-mapper devices did is counted and not collected. The error says which entry is malformed, or which
// exclusion RE2 does not have.
func FromList(list []byte, excludes []string) (*Values, Report, error) {
	excluded, err := compile(excludes)
	if err != nil {
		return nil, Report{}, err
	}
	c := collector{excluded: excluded}
	c.values.Exclude(excludes...)
	for len(list) > 0 {
		e, n, err := ima.ParseEntry(list)
		if err != nil {
			return nil, c.report, fmt.Errorf("entry %d: %w", c.report.Entries, err)
		}
		c.entry(e)
		c.report.Entries++
		list = list[n:]
	}
	return &c.values, c.report, nil
}

// compile makes a policy that has nothing but exclusions.
func compile(excludes []string) (*policy.Policy, error) {
	text, err := json.Marshal(map[string]any{
		"meta":     map[string]int{"version": 1},
		"excludes": append([]string{}, excludes...),
	})
	if err != nil {
		return nil, err
	}
	return policy.Parse(text)
}

type collector struct {
	values   Values
	excluded *policy.Policy
	report   Report
}

func (c *collector) entry(e ima.Entry) {
	if e.Violation() {
		c.report.Violations++
		return
	}
	ev, err := e.Event()
	switch {
	case err != nil:
		c.unlisted("", err)
	case ev.Buffer != nil:
		c.buffer(ev)
	case string(ev.Name) == ima.BootAggregate:
		c.report.BootAggregates++
	case c.excluded.JudgeFile(ev.Name, 0, nil).Verdict == policy.Excluded:
		c.report.Excluded++
	default:
		c.file(ev)
	}
}

// buffer collects a buffer, unless it can be a file that was made to look like one
// (I17).
func (c *collector) buffer(ev ima.Event) {
	if ev.IsFile() {
		c.unlisted(strconv.Quote(string(ev.Name)), errDisguised)
		return
	}
	_, err := digsig.ParseCertificate(ev.Buffer)
	all, count := &c.values.buffers, &c.report.Buffers
	switch {
	case err == nil || errors.Is(err, digsig.ErrUnsupported):
		all, count = &c.values.keyrings, &c.report.Keys
	case dm.IsEvent(ev.Name):
		c.report.DeviceEvents++
		return
	}
	if err := all.add(string(ev.Name), ev.Algorithm, ev.Digest); err != nil {
		c.unlisted(strconv.Quote(string(ev.Name)), err)
		return
	}
	*count++
}

var errDisguised = fmt.Errorf("%w: it can be a buffer or a file that was made to look like one", ErrUnlistable)

func (c *collector) file(ev ima.Event) {
	if err := c.values.digests.add(string(ev.Name), ev.Algorithm, ev.Digest); err != nil {
		c.unlisted(strconv.Quote(string(ev.Name)), err)
		return
	}
	c.report.Files++
}

func (c *collector) unlisted(path string, err error) {
	c.report.UnlistedCount++
	if len(c.report.Unlisted) == MaxUnlisted {
		return
	}
	c.report.Unlisted = append(c.report.Unlisted, Unlisted{c.report.Entries, path, err.Error()})
}
