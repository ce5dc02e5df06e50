package eventlog

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf16"
)

// Image is what the log says of an image that was loaded. The event's digest is
// the Authenticode digest of the image, and covers nothing of this.
type Image struct {
	Address, Length, LinkAddress uint64 // bytes
	Path                         string // device path in text form; empty: loaded from memory
}

// parseImage reads UEFI_IMAGE_LOAD_EVENT (PFP 1.06, section 10.2.3):
//
//	ImageLocationInMemory u64 | ImageLengthInMemory u64 | ImageLinkTimeAddress u64 |
//	LengthOfDevicePath u64 | DevicePath
func parseImage(data []byte) (i Image, ok bool) {
	c := cursor{b: data}
	i = Image{Address: c.u64(), Length: c.u64(), LinkAddress: c.u64()}
	path := c.bytes(c.u64())
	if !c.done() {
		return Image{}, false
	}
	i.Path, ok = devicePath(path)
	return i, ok
}

// devicePath returns a device path in text form (UEFI 2.10, sections 10.3 and
// 10.6.1.6); nodes that are none of the usual ones as Path(type,subtype,data). It
// is a sequence of nodes
//
//	type u8 | subtype u8 | length u16, of all of the node | data
//
// up to an end node, 0x7F/0xFF.
func devicePath(b []byte) (string, bool) {
	var nodes []string
	c := cursor{b: b}
	for len(c.rest()) > 0 {
		kind, sub, size := c.u8(), c.u8(), c.u16()
		if size < 4 || len(nodes) == MaxNodes {
			return "", false
		}
		node := c.bytes(uint64(size) - 4)
		switch {
		case c.short:
			return "", false
		case kind == 0x7f && sub == 0xff:
			return strings.Join(nodes, "/"), c.done()
		case kind == 0x7f: // another instance follows
			nodes = append(nodes, ",")
		default:
			nodes = append(nodes, nodeText(kind, sub, node))
		}
	}
	return strings.Join(nodes, "/"), len(nodes) == 0
}

// nodeText is one node (UEFI 2.10, section 10.6.1.6, table 10.66).
func nodeText(kind, sub uint8, b []byte) string {
	c := cursor{b: b}
	s := ""
	switch uint16(kind)<<8 | uint16(sub) {
	case 0x0101:
		function, device := c.u8(), c.u8()
		s = fmt.Sprintf("Pci(0x%x,0x%x)", device, function)
	case 0x0104:
		s = vendorText("VenHw", &c)
	case 0x0201:
		hid, uid := c.u32(), c.u32()
		if hid == 0x0a0341d0 {
			s = fmt.Sprintf("PciRoot(0x%x)", uid)
		} else {
			s = fmt.Sprintf("Acpi(0x%08x,0x%x)", hid, uid)
		}
	case 0x0301:
		primary, slave, lun := c.u8(), c.u8(), c.u16()
		s = fmt.Sprintf("Ata(0x%x,0x%x,0x%x)", primary, slave, lun)
	case 0x0302:
		target, lun := c.u16(), c.u16()
		s = fmt.Sprintf("Scsi(0x%x,0x%x)", target, lun)
	case 0x0305:
		port, iface := c.u8(), c.u8()
		s = fmt.Sprintf("USB(0x%x,0x%x)", port, iface)
	case 0x030a:
		s = vendorText("VenMsg", &c)
	case 0x030b:
		address, iface := c.bytes(32), c.u8()
		if len(address) == 32 {
			s = fmt.Sprintf("MAC(%x,0x%x)", address[:6], iface)
		}
	case 0x0312:
		port, multiplier, lun := c.u16(), c.u16(), c.u16()
		s = fmt.Sprintf("Sata(0x%x,0x%x,0x%x)", port, multiplier, lun)
	case 0x0317:
		namespace, eui := c.u32(), c.bytes(8)
		s = fmt.Sprintf("NVMe(0x%x,%x)", namespace, eui)
	case 0x030c:
		c.bytes(4)
		if remote := c.bytes(4); remote != nil {
			s = fmt.Sprintf("IPv4(%v)", netip.AddrFrom4([4]byte(remote)))
		}
		c.bytes(uint64(len(c.rest())))
	case 0x030d:
		c.bytes(16)
		if remote := c.bytes(16); remote != nil {
			s = fmt.Sprintf("IPv6(%v)", netip.AddrFrom16([16]byte(remote)))
		}
		c.bytes(uint64(len(c.rest())))
	case 0x0318:
		s = fmt.Sprintf("Uri(%s)", c.bytes(uint64(len(b))))
	case 0x0401:
		s = diskText(&c)
	case 0x0403:
		s = vendorText("VenMedia", &c)
	case 0x0404:
		if len(b)%2 == 0 {
			s = strings.TrimSuffix(string(utf16.Decode(units(c.bytes(uint64(len(b)))))), "\x00")
		}
	case 0x0406:
		s = guidText("FvFile", &c)
	case 0x0407:
		s = guidText("Fv", &c)
	case 0x0408:
		c.u32()
		first, last := c.u64(), c.u64()
		s = fmt.Sprintf("Offset(0x%x,0x%x)", first, last)
	}
	if s == "" || !c.done() || !isText([]byte(s)) {
		return fmt.Sprintf("Path(%d,%d,%x)", kind, sub, b)
	}
	return s
}

func guidText(name string, c *cursor) string {
	b := c.bytes(16)
	if b == nil {
		return ""
	}
	return fmt.Sprintf("%s(%v)", name, GUID(b))
}

func vendorText(name string, c *cursor) string {
	b := c.bytes(16)
	if b == nil {
		return ""
	}
	s := fmt.Sprintf("%s(%v", name, GUID(b))
	if rest := c.bytes(uint64(len(c.rest()))); len(rest) > 0 {
		s += "," + hex.EncodeToString(rest)
	}
	return s + ")"
}

// diskText is a partition (UEFI 2.10, section 10.3.5.1):
//
//	number u32 | start u64 | size u64 | signature [16]byte | format u8 | signature type u8
func diskText(c *cursor) string {
	number, start, size := c.u32(), c.u64(), c.u64()
	signature := c.bytes(16)
	c.u8()
	switch kind := c.u8(); {
	case c.short:
		return ""
	case kind == 2:
		return fmt.Sprintf("HD(%d,GPT,%v,0x%x,0x%x)", number, GUID(signature), start, size)
	case kind == 1:
		return fmt.Sprintf("HD(%d,MBR,0x%08x,0x%x,0x%x)", number, binary.LittleEndian.Uint32(signature), start, size)
	}
	return fmt.Sprintf("HD(%d,0x%x,0x%x,0x%x)", number, signature, start, size)
}
