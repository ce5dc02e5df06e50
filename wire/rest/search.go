package rest

import (
	"time"

	"quicklime/wire/pcr"
)

// MaxMeasurements bounds what a search answers: as much as a person looks through.
const MaxMeasurements = 1000

// MeasurementQuery is what to look for in the measurement lists: a path, or a
// digest if there is no path.
type MeasurementQuery struct {
	Path      []byte   // whole, as the kernel wrote it (I24)
	Algorithm pcr.Bank // of Digest; 0: any
	Digest    []byte
}

// Measurement says that a machine has measured a file, or a buffer: an entry of a
// certified list.
type Measurement struct {
	Agent   string    `json:"agent"`
	Label   string    `json:"label"`
	Epoch   string    `json:"epoch"`
	Current bool      `json:"current"` // the epoch is the one in force
	Entry   uint64    `json:"entry"`   // index in the epoch's list
	At      time.Time `json:"at"`      // when it was certified
	Path    string    `json:"path"`    // quoted as Go quotes it if it is not printable
	Digest  string    `json:"digest"`  // "sha256:…"
}

// MeasurementList answers SearchMeasurements, by agent, epoch and entry.
type MeasurementList struct {
	Measurements []Measurement `json:"measurements"`
	More         bool          `json:"more,omitempty"`       // there are others beyond MaxMeasurements
	Unreadable   int           `json:"unreadable,omitempty"` // records that could not be read, which may have more (I10)
}
