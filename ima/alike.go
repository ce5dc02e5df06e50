package ima

import (
	"encoding/binary"

	"quicklime/wire/pcr"
)

// parseAlike adds the entries at the start of b that are as most of a list are, while
// there is room: of the template of those before, which is not the legacy one, for PCR 10,
// and with a digest column that does not begin with zero, as that of a violation does. It
// returns their length. Entry.parse reads the others, and says what is wrong with them.
func (r *room) parseAlike(b []byte) (parsed int) {
	const name = 4 + digestColumn // offset of the name's length
	template := r.entries[0].Template
	if isLegacy(template) {
		return 0
	}
	size := name + 4 + len(template)
	from := size + 4 // of the data
	n := r.n
	for ; n < batch; n++ {
		at := b[parsed:]
		if len(at) < from || binary.LittleEndian.Uint32(at) != pcr.IMA || at[4] == 0 ||
			binary.LittleEndian.Uint32(at[name:]) != uint32(len(template)) || !sameName(at[name+4:size], template) {
			break
		}
		data := binary.LittleEndian.Uint32(at[size:])
		to := from + int(data)
		if data > MaxTemplateData || len(at) < to {
			break
		}
		e := &r.entries[n]
		e.PCR, e.Digest, e.Template, e.Data = pcr.IMA, at[4:name:name], template, at[from:to:to]
		r.hashed[n] = e.Data
		parsed += to
	}
	r.n = n
	return parsed
}

// sameName compares two names of one length; most have four to eight bytes, for which
// no call is made.
func sameName(a, b []byte) bool {
	n := len(b)
	if n < 4 || n > 8 || len(a) != n {
		return string(a) == string(b)
	}
	return binary.LittleEndian.Uint32(a) == binary.LittleEndian.Uint32(b) && binary.LittleEndian.Uint32(a[n-4:]) == binary.LittleEndian.Uint32(b[n-4:])
}
