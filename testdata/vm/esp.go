package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path"
	"slices"
	"unicode/utf16"
)

// makeESP makes, in m's directory, a disk from which firmware boots. files are those of
// its EFI system partition by their places there, such as /EFI/BOOT/BOOTX64.EFI.
func makeESP(ctx context.Context, m *machine, files map[string]string) error {
	fat := m.file("esp.fat")
	if err := os.RemoveAll(fat); err != nil {
		return err
	}
	if _, err := output(ctx, "", "mformat", "-i", fat, "-C", "-F", "-T", fmt.Sprint(espSectors), "::"); err != nil {
		return err
	}
	made := map[string]bool{"/": true}
	for _, to := range slices.Sorted(maps.Keys(files)) {
		if err := makeDirs(ctx, fat, path.Dir(to), made); err != nil {
			return err
		}
		if _, err := output(ctx, "", "mcopy", "-i", fat, files[to], "::"+to); err != nil {
			return err
		}
	}
	content, err := os.ReadFile(fat)
	if err != nil {
		return err
	}
	return os.WriteFile(m.file(espFile), partitioned(content), 0o600)
}

// makeDirs makes a directory in a FAT file system, and those above it, but for what was
// made.
func makeDirs(ctx context.Context, fat, dir string, made map[string]bool) error {
	if made[dir] {
		return nil
	}
	made[dir] = true
	if err := makeDirs(ctx, fat, path.Dir(dir), made); err != nil {
		return err
	}
	_, err := output(ctx, "", "mmd", "-i", fat, "::"+dir)
	return err
}

const (
	sector     = 512
	espSectors = 96 << 20 / sector // FAT32 needs more than 65,525 clusters
	firstESP   = 2048              // where the partition begins, in sectors
)

// partitioned puts a file system into the one partition of a disk, with a GUID partition
// table (UEFI 2.10, section 5.3): protective MBR, header, 128 entries; entries and header
// again at the end. Firmware measures the header and the entry to PCR 5.
func partitioned(fs []byte) []byte {
	const tableSectors = 128 * 128 / sector
	total := firstESP + len(fs)/sector + tableSectors + 1
	disk := make([]byte, total*sector)
	copy(disk[firstESP*sector:], fs)

	mbr := disk[446:512] // one partition of type 0xEE over all
	copy(mbr, []byte{0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0})
	binary.LittleEndian.PutUint32(mbr[12:], uint32(total-1))
	copy(mbr[64:], []byte{0x55, 0xaa})

	table := make([]byte, tableSectors*sector)
	var entry bytes.Buffer
	entry.Write([]byte{0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b}) // EFI System Partition
	entry.Write(bytes.Repeat([]byte{0x51}, 16))                                                                      // its own id
	for _, v := range []uint64{firstESP, uint64(firstESP + len(fs)/sector - 1), 0} {                                 // first, last, attributes
		entry.Write(binary.LittleEndian.AppendUint64(nil, v))
	}
	for _, c := range utf16.Encode([]rune("ESP")) {
		entry.Write(binary.LittleEndian.AppendUint16(nil, c))
	}
	copy(table, entry.Bytes())
	copy(disk[2*sector:], table)
	copy(disk[(total-1-tableSectors)*sector:], table)
	copy(disk[sector:], gptHeader(1, total-1, 2, total, table))
	copy(disk[(total-1)*sector:], gptHeader(total-1, 1, total-1-tableSectors, total, table))
	return disk
}

// gptHeader is the header at sector at, whose other copy and whose table are where the
// numbers say (UEFI 2.10, section 5.3.2, table 5.5).
func gptHeader(at, other, tableAt, total int, table []byte) []byte {
	h := append([]byte("EFI PART"), 0, 0, 1, 0, 92, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	for _, v := range []int{at, other, 34, total - 34} {
		h = binary.LittleEndian.AppendUint64(h, uint64(v))
	}
	h = append(h, bytes.Repeat([]byte{0x44}, 16)...) // the disk's id
	h = binary.LittleEndian.AppendUint64(h, uint64(tableAt))
	h = binary.LittleEndian.AppendUint32(h, 128)
	h = binary.LittleEndian.AppendUint32(h, 128)
	h = binary.LittleEndian.AppendUint32(h, crc32.ChecksumIEEE(table))
	binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h))
	return h
}
