package main

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"errors"
)

// section is a part of an EFI image.
type section struct {
	name    string // at most 8 bytes
	content []byte
}

// withSections adds sections to an EFI image of 64 bits (PE32+; Microsoft: PE Format,
// "COFF File Header", "Optional Header", "Section Table"), as it is done to the stub of
// a unified kernel image: at the end of the file and behind all that is in memory. The
// headers have room for some more.
func withSections(image []byte, add []section) ([]byte, error) {
	f, err := pe.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil, err
	}
	header, ok := f.OptionalHeader.(*pe.OptionalHeader64)
	if !ok {
		return nil, errors.New("not an image of 64 bits")
	}
	const (
		coffSize    = 24         // bytes, signature included
		rowSize     = 40         // bytes
		initialized = 0x40000040 // IMAGE_SCN_CNT_INITIALIZED_DATA, IMAGE_SCN_MEM_READ
	)
	coff := binary.LittleEndian.Uint32(image[0x3c:])
	optional := coff + coffSize
	row := optional + uint32(f.SizeOfOptionalHeader) + rowSize*uint32(len(f.Sections))
	if row+rowSize*uint32(len(add)) > header.SizeOfHeaders {
		return nil, errors.New("the headers have no room for more sections")
	}
	memory, out := header.SizeOfImage, bytes.Clone(image)
	for _, s := range add {
		memory = roundUp(memory, header.SectionAlignment)
		out = append(out, make([]byte, roundUp(uint32(len(out)), header.FileAlignment)-uint32(len(out)))...)
		copy(out[row:row+8], s.name)
		for i, v := range []uint32{uint32(len(s.content)), memory, roundUp(uint32(len(s.content)), header.FileAlignment), uint32(len(out)), 0, 0, 0, initialized} {
			binary.LittleEndian.PutUint32(out[row+8+4*uint32(i):], v)
		}
		out = append(out, s.content...)
		memory += uint32(len(s.content))
		row += rowSize
	}
	out = append(out, make([]byte, roundUp(uint32(len(out)), header.FileAlignment)-uint32(len(out)))...)
	binary.LittleEndian.PutUint16(out[coff+6:], uint16(len(f.Sections)+len(add)))
	binary.LittleEndian.PutUint32(out[optional+56:], roundUp(memory, header.SectionAlignment)) // SizeOfImage
	return out, nil
}

// roundUp returns the next multiple of a power of two.
func roundUp(n, to uint32) uint32 { return (n + to - 1) &^ (to - 1) }
