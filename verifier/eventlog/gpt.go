package eventlog

import "unicode/utf16"

// GPT is a partition table as it was measured: the used entries alone. With
// EV_EFI_GPT_EVENT2 the GUIDs of disk and partitions are zero.
type GPT struct {
	Disk       GUID
	Partitions []Partition
}

// Partition is an entry of a GPT (UEFI 2.10, section 5.3.3).
type Partition struct {
	Type, GUID  GUID
	First, Last uint64 // logical blocks, both included
	Attributes  uint64
	Name        string
}

const (
	gptHeader = 92  // bytes of UEFI_PARTITION_TABLE_HEADER that are measured
	gptEntry  = 128 // bytes of an entry that are read
)

// parseGPT reads UEFI_GPT_DATA (PFP 1.06, section 10.2.7; UEFI 2.10, section 5.3.2):
//
//	header: signature [8]byte "EFI PART" … DiskGUID at 56 … SizeOfPartitionEntry u32 at 84 …
//	NumberOfPartitions u64 | entries, each of SizeOfPartitionEntry:
//	type GUID | GUID | first u64 | last u64 | attributes u64 | name [36]u16
func parseGPT(data []byte) (g GPT, ok bool) {
	c := cursor{b: data}
	header := cursor{b: c.bytes(gptHeader)}
	n := c.u64()
	if signature := header.bytes(8); c.short || string(signature) != "EFI PART" || n > MaxPartitions {
		return GPT{}, false
	}
	header.bytes(48)
	g.Disk = GUID(header.bytes(16))
	header.bytes(12)
	size := uint64(header.u32())
	if size < gptEntry || size > uint64(len(data)) {
		return GPT{}, false
	}
	for range n {
		e := cursor{b: c.bytes(size)}
		if c.short {
			return GPT{}, false
		}
		p := Partition{Type: GUID(e.bytes(16)), GUID: GUID(e.bytes(16)), First: e.u64(), Last: e.u64(), Attributes: e.u64()}
		name := units(e.bytes(72))
		for i, u := range name {
			if u == 0 {
				name = name[:i]
				break
			}
		}
		p.Name = string(utf16.Decode(name))
		g.Partitions = append(g.Partitions, p)
	}
	return g, c.done()
}
