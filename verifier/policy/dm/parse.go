package dm

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
)

// Fixed parts of events.
const (
	activeDevice   = "device_active_metadata="
	inactiveDevice = "device_inactive_metadata="
	activeHash     = "active_table_hash="
	inactiveHash   = "inactive_table_hash="
	removeAll      = "remove_all="
	capacity       = "current_device_capacity="
	noResume       = "device_resume=no_data;"
	noRemove       = "device_remove=no_data;"
	noClear        = "table_clear=no_data;"
	noRename       = "device_rename=no_data;"
)

// Parse reads the buffer of the event of that name, all of it. An error names the
// byte at which the buffer stops being one, counted from 0.
func Parse(name string, buf []byte) (Event, error) {
	if len(buf) > MaxEvent {
		return nil, fmt.Errorf("an event of %d bytes, the limit is %d", len(buf), MaxEvent)
	}
	c := &cursor{buf: buf}
	e := c.event(name)
	if c.err == nil && c.off < len(buf) {
		c.fail("%d bytes more than the event has", len(buf)-c.off)
	}
	if c.err != nil {
		return nil, c.err
	}
	return e, nil
}

// A cursor reads a buffer. After the first error it reads nothing more.
type cursor struct {
	buf []byte
	off int
	err error
}

func (c *cursor) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("byte %d: %s", c.off, fmt.Sprintf(format, args...))
	}
}

// event reads an event. What it returns counts only without an error.
func (c *cursor) event(name string) Event {
	driver := c.driver()
	switch name {
	case TableLoad:
		return Load{Driver: driver, Device: c.device(), Targets: c.targets()}
	case DeviceResume:
		t, n := c.tableOrNone(driver, activeHash, noResume)
		return Resume{Driver: driver, Active: t, None: n, Capacity: c.capacity()}
	case DeviceRemove:
		return c.remove(driver)
	case TableClear:
		t, n := c.tableOrNone(driver, inactiveHash, noClear)
		return Clear{Driver: driver, Inactive: t, None: n, Capacity: c.capacity()}
	case DeviceRename:
		return c.rename(driver)
	case TargetUpdate:
		return Update{Driver: driver, Device: c.device(), Target: c.target()}
	}
	c.off = 0
	c.fail("%s is no device-mapper event", quote(name))
	return nil
}

func (c *cursor) driver() Version {
	c.want("dm_version=")
	v := c.version()
	c.want(";")
	return v
}

func (c *cursor) device() Device {
	d := Device{Identity: c.identity("name=", ",uuid=")}
	c.want(",major=")
	d.Major = c.u32()
	c.want(",minor=")
	d.Minor = c.u32()
	c.want(",minor_count=")
	d.MinorCount = c.u32()
	c.want(",num_targets=")
	d.NumTargets = c.u32()
	c.want(";")
	return d
}

func (c *cursor) identity(name, uuid string) (i Identity) {
	c.want(name)
	if i.Name = c.text(MaxName); i.Name == "" {
		c.fail("a device without a name")
	}
	c.want(uuid)
	i.UUID = c.text(MaxUUID)
	return i
}

// tableOrNone reads a device and the hash of its table, or a device without one.
func (c *cursor) tableOrNone(driver Version, hash, none string) (*Table, *NoTable) {
	start := c.off
	id := c.identity("name=", ",uuid=")
	if c.next(";") {
		return nil, &NoTable{Identity: id, Padded: c.none(driver, none)}
	}
	c.off = start
	t := &Table{Device: c.device()}
	c.want(hash)
	t.Hash = c.hash()
	c.want(";")
	return t, nil
}

// none reads the mark of a device without a table, and whether it is padded.
func (c *cursor) none(driver Version, mark string) (padded bool) {
	c.want(mark)
	return c.next(string(make([]byte, padding(driver))))
}

func (c *cursor) remove(driver Version) Event {
	e := Remove{Driver: driver}
	if c.next(activeDevice) {
		e.Active = &Table{Device: c.device()}
	}
	if c.next(inactiveDevice) {
		e.Inactive = &Table{Device: c.device()}
	}
	if e.Active == nil && e.Inactive == nil {
		e.None = &NoTable{Identity: c.identity("name=", ",uuid=")}
		c.want(";")
		e.None.Padded = c.none(driver, noRemove)
	}
	if e.Active != nil {
		c.want(activeHash)
		e.Active.Hash = c.hash()
		c.want(",")
	}
	if e.Inactive != nil {
		c.want(inactiveHash)
		e.Inactive.Hash = c.hash()
		c.want(",")
	}
	c.want(removeAll)
	if e.All = c.next("y"); !e.All {
		c.want("n")
	}
	c.want(";")
	e.Capacity = c.capacity()
	return e
}

func (c *cursor) rename(driver Version) Event {
	e := Rename{Driver: driver}
	if !c.next(noRename) {
		d := c.device()
		e.Device = &d
	}
	e.New = c.identity("new_name=", ",new_uuid=")
	c.want(";")
	e.Capacity = c.capacity()
	return e
}

func (c *cursor) capacity() uint64 {
	c.want(capacity)
	n := c.number(64)
	c.want(";")
	return n
}

// next reads s if it follows.
func (c *cursor) next(s string) bool {
	if c.err != nil || !bytes.HasPrefix(c.buf[c.off:], []byte(s)) {
		return false
	}
	c.off += len(s)
	return true
}

// want reads s, which must follow.
func (c *cursor) want(s string) {
	if !c.next(s) {
		c.fail("want %q", s)
	}
}

// number reads a number of at most so many bits, without a zero before it.
func (c *cursor) number(bits int) uint64 {
	if c.err != nil {
		return 0
	}
	end := c.off
	for end < len(c.buf) && c.buf[end] >= '0' && c.buf[end] <= '9' {
		end++
	}
	s := string(c.buf[c.off:min(end, c.off+32)])
	n, err := strconv.ParseUint(s, 10, bits)
	if err != nil || len(s) > 1 && s[0] == '0' {
		c.fail("want a number of at most %d bits", bits)
		return 0
	}
	c.off = end
	return n
}

func (c *cursor) u32() uint32 { return uint32(c.number(32)) }

func (c *cursor) version() (v Version) {
	v.Major = c.u32()
	c.want(".")
	v.Minor = c.u32()
	c.want(".")
	v.Patch = c.u32()
	return v
}

func (c *cursor) hash() (h Hash) {
	c.want("sha256:")
	if c.err != nil {
		return h
	}
	digits := c.buf[c.off:min(len(c.buf), c.off+hex.EncodedLen(len(h)))]
	if n, err := hex.Decode(h[:], digits); n != len(h) || err != nil || bytes.ContainsAny(digits, "ABCDEF") {
		c.fail("want %d lower-case hexadecimal digits", hex.EncodedLen(len(h)))
		return h
	}
	c.off += len(digits)
	return h
}

// text reads escaped text of at most limit bytes up to a separator, and removes
// the escapes.
func (c *cursor) text(limit int) string {
	var s []byte
	for c.err == nil && c.off < len(c.buf) {
		b := c.buf[c.off]
		switch {
		case b == ',' || b == ';':
			return string(s)
		case b == '\\':
			if c.off+1 == len(c.buf) || !separates(c.buf[c.off+1]) {
				c.fail(`a \ that escapes nothing`)
				return ""
			}
			c.off++
			b = c.buf[c.off]
		case separates(b):
			c.fail("%q is not escaped", b)
			return ""
		}
		if !c.printable(b) {
			return ""
		}
		if len(s) == limit {
			c.fail("more than %d bytes", limit)
			return ""
		}
		s = append(s, b)
		c.off++
	}
	c.fail("the buffer ends inside a value")
	return ""
}

func (c *cursor) printable(b byte) bool {
	if b < ' ' || b > '~' {
		c.fail("%#02x is not printable ASCII", b)
		return false
	}
	return true
}

// quote returns s in quotes, in ASCII and of bounded length.
func quote(s string) string {
	if len(s) > maxShown {
		return strconv.QuoteToASCII(s[:maxShown]) + "..."
	}
	return strconv.QuoteToASCII(s)
}
