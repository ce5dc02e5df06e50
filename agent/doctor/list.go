package doctor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"quicklime/ima"
	"quicklime/wire/pcr"
)

// list is what the measurement list says of itself.
type list struct {
	exists    bool
	aggregate *ima.Event // boot_aggregate, or nil
}

// firstRead is what one read of a kernel's list answers with: the first entry fits.
const firstRead = 4096 // bytes

// list looks at the measurement list.
func (m Machine) list(r *Report) (l list) {
	f, err := os.Open(m.IMAList)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.add("IMA", Lacking, m.IMAList+" does not exist",
			"mount securityfs on /sys/kernel/security; if it is, boot a kernel with CONFIG_IMA and without ima=off")
		return l
	case errors.Is(err, fs.ErrPermission):
		r.add("IMA", Lacking, err.Error(), "run as root, or with CAP_DAC_READ_SEARCH")
		return l
	case err != nil:
		r.add("IMA", Lacking, err.Error(), "")
		return l
	}
	defer f.Close()
	l.exists = true
	b := make([]byte, firstRead)
	n, err := io.ReadFull(f, b)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		r.add("IMA", Lacking, err.Error(), "")
		return l
	}
	count := m.line(m.beside("runtime_measurements_count"))
	switch count {
	case "", "0":
		r.add("IMA", Lacking, "the measurement list is empty", "boot with ima_policy=tcb, or install an IMA policy")
	case "1":
		r.add("IMA", Lacking, "nothing is measured since boot", "boot with ima_policy=tcb, or install an IMA policy")
	default:
		r.add("IMA", OK, count+" measurements since boot", "")
	}
	l.aggregate = aggregate(r, b[:n])
	return l
}

// aggregate looks at the first entry.
func aggregate(r *Report, b []byte) *ima.Event {
	const check = "boot_aggregate"
	e, _, err := ima.ParseEntry(b)
	if err != nil {
		r.add(check, Lacking, "the first entry cannot be read: "+err.Error(), "")
		return nil
	}
	ev, err := e.Event()
	if err != nil || string(ev.Name) != ima.BootAggregate {
		r.add(check, Lacking, "the list does not begin with boot_aggregate", "reboot, and boot with ima_policy=tcb")
		return nil
	}
	switch {
	case bytes.Equal(ev.Digest, make([]byte, len(ev.Digest))):
		r.add(check, Lacking, "it is all zeros: the kernel had no TPM when IMA began",
			"enable the TPM in the firmware's setup; its driver has to be built into the kernel, not a module")
		return nil
	case e.Legacy() || ev.Algorithm == pcr.SHA1:
		r.add(check, Note, "its hash is sha1", "boot with ima_hash=sha256 and another ima_template than ima")
	default:
		r.add(check, OK, fmt.Sprintf("its hash is %v, the template %s", ev.Algorithm, e.Template), "")
	}
	return &ev
}

// violations looks at how many files changed while they were measured.
func (m Machine) violations(r *Report) {
	switch n := m.line(m.beside("violations")); n {
	case "":
	case "0":
		r.add("violations", OK, "none", "")
	default:
		r.add("violations", Note, n+" files were changed while they were measured",
			`find them in the list (entries with an all-zero digest); "policy create --violations warn" tolerates them`)
	}
}

// line is the first line of a small file, "" if it cannot be read.
func (m Machine) line(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	s, _, _ := strings.Cut(string(b), "\n")
	return s
}
