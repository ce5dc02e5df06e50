package eventlog

import "encoding/binary"

// cursor reads little-endian fields from the front of b. After a read beyond the
// end short is true, and every read gives zero or nothing.
type cursor struct {
	b     []byte
	at    int
	short bool
}

// bytes returns the next n bytes, parts of what is read.
func (c *cursor) bytes(n uint64) []byte {
	if c.short || n > uint64(len(c.b)-c.at) {
		c.short = true
		return nil
	}
	from := c.at
	c.at += int(n)
	return c.b[from:c.at:c.at]
}

func (c *cursor) u8() uint8 {
	if b := c.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) u16() uint16 {
	if b := c.bytes(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if b := c.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if b := c.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// rest is what has not been read.
func (c *cursor) rest() []byte { return c.b[c.at:] }

// done reports whether all was read and nothing beyond.
func (c *cursor) done() bool { return !c.short && c.at == len(c.b) }
