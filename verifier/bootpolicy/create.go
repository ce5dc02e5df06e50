package bootpolicy

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"quicklime/verifier/eventlog"
)

// Log is a log that events can be read from: eventlog.Replayed, or eventlog.Supposed
// if there is no quote.
type Log interface {
	Events() []eventlog.Event
	Measurements() []eventlog.Measurement
}

// Create returns the text of a reference state under which each of the logs is
// accepted, the alternatives merged: what must be in dbx and SbatLevel is what all of
// them have. They must agree on Secure Boot. dbx must have the revocation lists, too,
// which the dbx of the logs need not have.
func Create(lists []RevocationList, logs ...Log) ([]byte, error) {
	if len(logs) == 0 {
		return nil, errors.New("there is no log to make a reference state from")
	}
	var all reference
	for i, l := range logs {
		one, err := describe(l)
		switch {
		case err != nil:
			return nil, fmt.Errorf("log %d: %w", i+1, err)
		case i == 0:
			all = one
			continue
		case one.SecureBoot != all.SecureBoot:
			return nil, fmt.Errorf("log %d: Secure Boot is %s, in the first log it is %s: make a reference state for each", i+1, onOff(one.SecureBoot), onOff(all.SecureBoot))
		}
		all.merge(one)
	}
	all.Lists = lists
	b, err := json.MarshalIndent(all, "", "  ")
	return append(b, '\n'), err
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// reference is the text of a reference state.
type reference struct {
	SecureBoot bool                    `json:"has_secureboot"`
	Firmware   []firmwareJSON          `json:"scrtm_and_bios"`
	PK         []keyJSON               `json:"pk"`
	KEK        []keyJSON               `json:"kek"`
	DB         []keyJSON               `json:"db"`
	DBX        []keyJSON               `json:"dbx"`
	VendorDB   []keyJSON               `json:"vendor_db,omitempty"`
	Mok        []digestJSON            `json:"mokdig"`
	MokX       []digestJSON            `json:"mokxdig"`
	Lists      []RevocationList        `json:"revocation_lists,omitempty"`
	SBAT       generations             `json:"sbat,omitempty"`
	Kernels    []map[string]any        `json:"kernels"`
	OptionROMs []digestJSON            `json:"option_roms"`
	Systemd    bool                    `json:"systemd,omitempty"`
	Events     map[string][]digestJSON `json:"events,omitempty"`
	Runtime    map[string][]any        `json:"runtime,omitempty"` // of string or digestJSON
}

type firmwareJSON struct {
	SCRTM digestJSON   `json:"scrtm"`
	Blobs []digestJSON `json:"platform_firmware"`
}

type keyJSON struct {
	Owner string `json:"SignatureOwner"`
	Data  string `json:"SignatureData"`
}

type digestJSON map[string]string

// empty returns a reference state in which every list that must be written is [].
func empty() reference {
	return reference{
		Firmware: []firmwareJSON{}, PK: []keyJSON{}, KEK: []keyJSON{}, DB: []keyJSON{}, DBX: []keyJSON{},
		Mok: []digestJSON{}, MokX: []digestJSON{}, OptionROMs: []digestJSON{},
		Events: map[string][]digestJSON{}, Runtime: map[string][]any{},
	}
}

// merge adds the alternatives of another reference state.
func (r *reference) merge(o reference) {
	r.Firmware = union(r.Firmware, o.Firmware)
	r.PK, r.KEK, r.DB, r.VendorDB = union(r.PK, o.PK), union(r.KEK, o.KEK), union(r.DB, o.DB), union(r.VendorDB, o.VendorDB)
	r.DBX = slices.DeleteFunc(r.DBX, func(k keyJSON) bool { return !slices.Contains(o.DBX, k) })
	r.SBAT = r.SBAT.least(o.SBAT)
	r.Mok, r.MokX, r.OptionROMs = union(r.Mok, o.Mok), union(r.MokX, o.MokX), union(r.OptionROMs, o.OptionROMs)
	r.Kernels = union(r.Kernels, o.Kernels)
	r.Systemd = r.Systemd || o.Systemd
	for _, i := range slices.Sorted(maps.Keys(o.Events)) {
		r.Events[i] = union(r.Events[i], o.Events[i])
	}
	for _, i := range slices.Sorted(maps.Keys(o.Runtime)) {
		r.Runtime[i] = union(r.Runtime[i], o.Runtime[i])
	}
}

// union is a and what of b is not in it. Equal is what has the same text.
func union[T any](a, b []T) []T {
	seen := map[string]bool{}
	all := []T{}
	for _, v := range slices.Concat(a, b) {
		text, err := json.Marshal(v)
		if err != nil || seen[string(text)] {
			continue
		}
		seen[string(text)] = true
		all = append(all, v)
	}
	return all
}
