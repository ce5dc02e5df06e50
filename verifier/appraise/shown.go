package appraise

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	"quicklime/ima"
	"quicklime/wire"
)

// maxDigest bounds the digest that is shown: no hash is longer than SHA-512.
const maxDigest = 64 // bytes

// digest shows an event's digest as "sha256:…".
func digest(ev ima.Event) string {
	name, d, more := "unknown", ev.Digest, ""
	if ev.Algorithm.Known() {
		name = ev.Algorithm.String()
	}
	if len(d) > maxDigest {
		d, more = d[:maxDigest], "…"
	}
	return name + ":" + hex.EncodeToString(d) + more
}

// maxPath bounds the path that is shown: PATH_MAX of the kernel.
const maxPath = 4096 // bytes

// Path shows a path of the list, which may be any bytes (I24): as it is if it is
// printable, else quoted; cut if no kernel has such a long one.
func Path(name []byte) string {
	more := ""
	if len(name) > maxPath {
		more = fmt.Sprintf("… (%d bytes)", len(name))
		name = name[:maxPath]
	}
	s := string(name)
	if wire.Printable(s, len(s)) && !slices.Contains(name, '"') {
		return s + more
	}
	return strconv.Quote(s) + more
}
