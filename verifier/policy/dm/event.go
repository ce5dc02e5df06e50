package dm

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
)

// Event is one of Load, Resume, Remove, Clear, Rename and Update.
type Event interface {
	// Append appends the buffer that the kernel writes for the event.
	Append(b []byte) []byte
}

// Version is the version of a device-mapper driver or of a target.
type Version struct{ Major, Minor, Patch uint32 }

// String returns the version as the kernel writes it.
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// Identity is how user space names a device.
type Identity struct {
	Name string // unescaped, not empty
	UUID string // unescaped
}

// Device is a device as the kernel describes it with each of its tables.
type Device struct {
	Identity
	Major, Minor, MinorCount uint32
	NumTargets               uint32 // of the table
}

// Hash is the SHA-256 of the buffer of a dm_table_load.
type Hash [sha256.Size]byte

// String returns the hash as the kernel writes it.
func (h Hash) String() string { return "sha256:" + hex.EncodeToString(h[:]) }

// Table stands for a table that was loaded before.
type Table struct {
	Device Device
	Hash   Hash
}

// NoTable is what is measured of a device that has no table.
type NoTable struct {
	Identity
	Padded bool // with NUL bytes, as early kernels do
}

// Attribute is one attribute of a target, with its value as it is measured.
type Attribute struct{ Key, Value string }

// Target is one target of a table.
type Target struct {
	Index      uint32
	Begin, Len uint64 // sectors
	Name       string // the target's type
	Version    Version
	Attributes []Attribute // each key once
}

// Load is a dm_table_load: a table enters a device's inactive slot. A table that
// is too large for one event has several, in which the indexes go on.
type Load struct {
	Driver  Version
	Device  Device
	Targets []Target
}

// Resume is a dm_device_resume: the inactive table, if there is one, becomes the
// active one.
type Resume struct {
	Driver   Version
	Active   *Table   // or
	None     *NoTable // one of both is nil
	Capacity uint64   // sectors
}

// Remove is a dm_device_remove.
type Remove struct {
	Driver           Version
	Active, Inactive *Table   // one of both at least, or
	None             *NoTable // nil if there is any
	All              bool     // by the request to remove all devices
	Capacity         uint64   // sectors
}

// Clear is a dm_table_clear: the inactive slot is emptied.
type Clear struct {
	Driver   Version
	Inactive *Table   // or
	None     *NoTable // one of both is nil
	Capacity uint64   // sectors
}

// Rename is a dm_device_rename: a device gets another name, or its first uuid.
type Rename struct {
	Driver   Version
	Device   *Device // as it was before; nil: it had no table
	New      Identity
	Capacity uint64 // sectors
}

// Update is a dm_target_update: a target of a table that was loaded before
// describes itself anew.
type Update struct {
	Driver Version
	Device Device
	Target Target
}

// Append implements Event.
func (e Load) Append(b []byte) []byte {
	b = appendDevice(appendDriver(b, e.Driver), e.Device)
	for _, t := range e.Targets {
		b = appendTarget(b, t)
	}
	return b
}

// Append implements Event.
func (e Resume) Append(b []byte) []byte {
	b = appendDriver(b, e.Driver)
	if e.None != nil {
		b = appendNone(b, e.Driver, e.None, noResume)
	} else {
		b = appendDevice(b, e.Active.Device)
		b = append(b, activeHash+e.Active.Hash.String()+";"...)
	}
	return appendCapacity(b, e.Capacity)
}

// Append implements Event.
func (e Remove) Append(b []byte) []byte {
	b = appendDriver(b, e.Driver)
	if e.None != nil {
		b = appendNone(b, e.Driver, e.None, noRemove)
	}
	if e.Active != nil {
		b = appendDevice(append(b, activeDevice...), e.Active.Device)
	}
	if e.Inactive != nil {
		b = appendDevice(append(b, inactiveDevice...), e.Inactive.Device)
	}
	if e.Active != nil {
		b = append(b, activeHash+e.Active.Hash.String()+","...)
	}
	if e.Inactive != nil {
		b = append(b, inactiveHash+e.Inactive.Hash.String()+","...)
	}
	if e.All {
		b = append(b, removeAll+"y;"...)
	} else {
		b = append(b, removeAll+"n;"...)
	}
	return appendCapacity(b, e.Capacity)
}

// Append implements Event.
func (e Clear) Append(b []byte) []byte {
	b = appendDriver(b, e.Driver)
	if e.None != nil {
		b = appendNone(b, e.Driver, e.None, noClear)
	} else {
		b = appendDevice(b, e.Inactive.Device)
		b = append(b, inactiveHash+e.Inactive.Hash.String()+";"...)
	}
	return appendCapacity(b, e.Capacity)
}

// Append implements Event.
func (e Rename) Append(b []byte) []byte {
	b = appendDriver(b, e.Driver)
	if e.Device != nil {
		b = appendDevice(b, *e.Device)
	} else {
		b = append(b, noRename...)
	}
	b = appendText(append(b, "new_name="...), e.New.Name)
	b = appendText(append(b, ",new_uuid="...), e.New.UUID)
	return appendCapacity(append(b, ';'), e.Capacity)
}

// Append implements Event.
func (e Update) Append(b []byte) []byte {
	return appendTarget(appendDevice(appendDriver(b, e.Driver), e.Device), e.Target)
}

func appendDriver(b []byte, v Version) []byte {
	return fmt.Appendf(b, "dm_version=%v;", v)
}

func appendIdentity(b []byte, i Identity) []byte {
	b = appendText(append(b, "name="...), i.Name)
	return appendText(append(b, ",uuid="...), i.UUID)
}

func appendDevice(b []byte, d Device) []byte {
	b = appendIdentity(b, d.Identity)
	return fmt.Appendf(b, ",major=%d,minor=%d,minor_count=%d,num_targets=%d;", d.Major, d.Minor, d.MinorCount, d.NumTargets)
}

func appendNone(b []byte, driver Version, n *NoTable, what string) []byte {
	b = append(appendIdentity(b, n.Identity), ';')
	b = append(b, what...)
	if n.Padded {
		b = append(b, make([]byte, padding(driver))...)
	}
	return b
}

func appendTarget(b []byte, t Target) []byte {
	b = fmt.Appendf(b, "target_index=%d,target_begin=%d,target_len=%d,target_name=%s,target_version=%v", t.Index, t.Begin, t.Len, t.Name, t.Version)
	for _, a := range t.Attributes {
		b = append(b, ","+a.Key+"="+a.Value...)
	}
	return append(b, ';')
}

func appendCapacity(b []byte, n uint64) []byte {
	b = strconv.AppendUint(append(b, capacity...), n, 10)
	return append(b, ';')
}

// appendText escapes s.
func appendText(b []byte, s string) []byte {
	for _, c := range []byte(s) {
		if separates(c) {
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return b
}

// separates reports whether the kernel puts a "\" before c in a name or uuid.
func separates(c byte) bool { return c == '\\' || c == ';' || c == '=' || c == ',' }

// padding returns how many NUL bytes an early kernel writes behind no_data.
func padding(driver Version) int { return len(appendDriver(nil, driver)) }
