package dm

import (
	"slices"
	"strconv"
)

// layout is what a kernel measures of a target type.
type layout struct {
	always    []string // attributes
	sometimes []string // attributes; where there is none, null alone is satisfied
}

// deviceList is Keylime's name for what it reads of the devices of a mirror.
const deviceList = "mirror_device_data"

// layouts are the target types that Keylime reads, as the kernel's status
// functions write them (drivers/md/dm-*.c, STATUSTYPE_IMA). Other types and
// further attributes are read and judged too; nothing is known of what must be
// there.
var layouts = map[string]layout{
	"cache": {
		always: []string{"metadata_mode", "cache_metadata_device", "cache_device", "cache_origin_device", "writethrough", "writeback", "passthrough", "metadata2", "no_discard_passdown"},
	},
	"crypt": {
		always:    []string{"allow_discards", "same_cpu_crypt", "submit_from_crypt_cpus", "no_read_workqueue", "no_write_workqueue", "iv_large_sectors", "key_size", "key_parts", "key_extra_size", "key_mac_size"},
		sometimes: []string{"integrity_tag_size", "cipher_auth", "sector_size", "cipher_string"},
	},
	"integrity": {
		always:    []string{"dev_name", "start", "tag_size", "mode", "recalculate", "allow_discards", "fix_padding", "fix_hmac", "legacy_recalculate", "journal_sectors", "interleave_sectors", "buffer_sectors"},
		sometimes: []string{"meta_device", "block_size"},
	},
	"linear": {
		always: []string{"device_name", "start"},
	},
	"mirror": {
		always:    []string{"nr_mirrors", "mirror_device_0", "mirror_device_0_status", "handle_errors", "keep_log", "log_type_status"},
		sometimes: []string{deviceList},
	},
	"snapshot": {
		always: []string{"snap_origin_name", "snap_cow_name", "snap_valid", "snap_merge_failed", "snapshot_overflowed"},
	},
	"verity": {
		always:    []string{"hash_failed", "verity_version", "data_device_name", "hash_device_name", "verity_algorithm", "root_digest", "salt", "ignore_zero_blocks", "check_at_most_once"},
		sometimes: []string{"root_hash_sig_key_desc", "verity_mode"},
	},
}

// targets reads the targets of a load, at least one.
func (c *cursor) targets() (all []Target) {
	for c.err == nil && (len(all) == 0 || c.off < len(c.buf)) {
		start := c.off
		t := c.target()
		if n := len(all); n > 0 && uint64(t.Index) != uint64(all[0].Index)+uint64(n) {
			c.off = start
			c.fail("target %d in the place of target %d", t.Index, uint64(all[0].Index)+uint64(n))
		}
		if len(all) == MaxTargets {
			c.fail("more than %d targets", MaxTargets)
		}
		all = append(all, t)
	}
	return all
}

func (c *cursor) target() (t Target) {
	c.want("target_index=")
	t.Index = c.u32()
	c.want(",target_begin=")
	t.Begin = c.number(64)
	c.want(",target_len=")
	t.Len = c.number(64)
	c.want(",")
	if !c.next("target_name=") {
		c.fail("want \"target_name=\": a target of a type that measures nothing")
	}
	t.Name = c.plain()
	c.want(",target_version=")
	t.Version = c.version()
	t.Attributes = c.attributes(t.Name)
	return t
}

// plain reads a target's name, which is a C identifier or nearly so.
func (c *cursor) plain() string {
	start := c.off
	for c.err == nil && c.off < len(c.buf) {
		b := c.buf[c.off]
		if separates(b) || !c.printable(b) {
			break
		}
		c.off++
	}
	if c.off == start {
		c.fail("want a name")
	}
	return string(c.buf[start:c.off])
}

// attributes reads the attributes of a target of that type, and the ";" behind
// them. None has the name of a field: that is what shows where the kernel cut a
// target's text at its bound and wrote the next target behind it.
func (c *cursor) attributes(kind string) (all []Attribute) {
	at := map[string]bool{"target_index": true, "target_begin": true, "target_len": true, "target_name": true, "target_version": true}
	for c.next(",") {
		a := c.attribute()
		if at[a.Key] {
			c.fail("the attribute %s is there twice", quote(a.Key))
		}
		at[a.Key] = true
		if len(all) == MaxAttributes {
			c.fail("more than %d attributes", MaxAttributes)
		}
		all = append(all, a)
	}
	c.want(";")
	for _, key := range layouts[kind].always {
		if !at[key] {
			c.fail("a target %s without its attribute %s", kind, key)
		}
	}
	return all
}

// attribute reads key=value up to the next "," that a key follows, or the ";".
func (c *cursor) attribute() (a Attribute) {
	a.Key = c.plain()
	c.want("=")
	start := c.off
	for c.err == nil && c.off < len(c.buf) {
		b := c.buf[c.off]
		if b == ';' || b == ',' && c.keyFollows() {
			a.Value = string(c.buf[start:c.off])
			return a
		}
		if c.printable(b) {
			c.off++
		}
	}
	c.fail("the buffer ends inside a value")
	return a
}

// keyFollows reports whether a key and its "=" follow the comma at the cursor: a
// field begins, not the rest of a value that has a comma.
func (c *cursor) keyFollows() bool {
	rest := c.buf[c.off+1:]
	i := slices.IndexFunc(rest, separates)
	return i < 0 || rest[i] == '='
}

// field returns the value of a field or attribute. ok: it is there; known: it is
// there, or a kernel leaves it out at times.
func (t Target) field(key string) (value string, ok, known bool) {
	switch key {
	case "target_index":
		return strconv.FormatUint(uint64(t.Index), 10), true, true
	case "target_begin":
		return strconv.FormatUint(t.Begin, 10), true, true
	case "target_len":
		return strconv.FormatUint(t.Len, 10), true, true
	case "target_name":
		return t.Name, true, true
	case "target_version":
		return t.Version.String(), true, true
	}
	for _, a := range t.Attributes {
		if a.Key == key {
			return a.Value, true, true
		}
	}
	return "", false, slices.Contains(layouts[t.Name].sometimes, key)
}
