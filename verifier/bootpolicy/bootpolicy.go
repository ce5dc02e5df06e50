// Package bootpolicy is what a boot is compared with: Keylime's measured-boot
// reference state, and the judgement of a boot log by it.
//
// # Format
//
// One JSON object of at most MaxReference bytes. A digest is an object of banks and
// hexadecimal digits, {"sha256": "0x…"}; a key is {"SignatureOwner": GUID,
// "SignatureData": "0x…"}, the entry of a signature database.
//
//	has_secureboot    bool, true if it is left out
//	scrtm_and_bios    [{scrtm: digest, platform_firmware: [digest…]}…], one of which PCR 0 is
//	pk, kek, db       [key…], each of them may be there
//	dbx               [key…], all of them must be there
//	vendor_db         [key…], each of them may be used
//	mokdig, mokxdig   [digest…] of MokList and MokListX
//	kernels           [{…}…], one of which the boot is:
//	    shim_authcode_sha256, grub_authcode_sha256, kernel_authcode_sha256   PCR 4, in this order
//	    vmlinuz_plain_sha256, initrd_plain_sha256                            PCR 9
//	    kernel_cmdline                                                       PCR 8, an expression
//
// That is Keylime's (keylime/mba/elchecking/example.py). Members of ours:
//
//	revocations       [hex SHA-256…] that dbx must have
//	revocation_lists  [{name, at_least, sha256: [hex…], signatures: [{SignatureType, SignatureData}…]}…],
//	                  of each of which dbx must have all entries, or at_least so many
//	sbat              {component: generation} that SbatLevel must have, or higher ones
//	option_roms       [digest…] that drivers in PCR 2 may have
//	events            {PCR: [digest…]} that a PCR may have beside what is judged
//	systemd           bool: PCRs 11 to 13 are judged, which systemd-boot and systemd-stub fill
//	runtime           {PCR: [expression or digest…]} that systemd may measure while the system runs
//	kernels[]:
//	    any _sha256 as _sha384 or _sha512 too; any of them may be left out
//	    load_options_sha256    PCR 9, as Linux' EFI stub measures its command line
//	    boot_files             PCR 9, [digest…] that may be there
//	    grub_commands          PCR 8, [expression…], one of which each command is
//	    pcr_11_sha256          what the sections of a unified kernel image lead to
//	    uki_sections           [{name, sha256}…] of them, to say which of them is another one
//
// Expressions are RE2 and match the whole text, a kernel command line from the path
// of the kernel on, as GRUB measures it.
//
// # What is believed
//
// No digest covers the type of an event, nor what GRUB says that a line is, nor the
// name of a file (I20). So a rule rests on a digest, or on data that the digest was
// recomputed from, and an event that no rule accepts is a failure. Where Keylime's
// rule rests on a name, it is kept for reference states without the member that does
// better, and [Policy.Warnings] says so.
package bootpolicy

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"

	"quicklime/wire/pcr"
)

// Names of policies that need no text.
const (
	AcceptAll = "accept-all"
	RejectAll = "reject-all"
)

// Named returns accept-all or reject-all; false: there is no policy of this name.
// Under accept-all nothing is judged.
func Named(name string) (*Policy, bool) {
	switch name {
	case AcceptAll, RejectAll:
		sum := sha256.Sum256([]byte(name))
		return &Policy{named: name, digest: hex.EncodeToString(sum[:])}, true
	}
	return nil, false
}

// Policy is a compiled reference state. It is not changed once it is made.
type Policy struct {
	digest   string
	named    string // accept-all, reject-all; empty: a reference state
	unknown  []string
	warnings []string

	secureBoot      bool
	firmware        []firmware
	pk, kek, db     keys
	dbx, vendor     keys
	revocations     [][]byte // SHA-256 digests that dbx must have
	revocationLists []revocations
	sbat            generations
	mok, mokX       []digests
	optionROMs      []digests
	pinROMs         bool
	events          map[int][]digests
	runtime         map[int]runtime
	kernels         []kernel
	judgesSections  bool // PCRs 11 to 13
}

// firmware is one element of scrtm_and_bios.
type firmware struct {
	scrtm digests
	blobs []digests
}

// kernel is one element of kernels. A value that is nil is not judged.
type kernel struct {
	place                    string
	shim, grub, kernel       digests
	vmlinuz, initrd, options digests
	files                    []digests
	pinFiles                 bool
	commandLine              *regexp.Regexp
	expression               string // of commandLine, as it was written
	commands                 []*regexp.Regexp
	pinCommands              bool
	sections                 digests // value of PCR 11
	image                    []section
}

// Digest is the SHA-256 of the text in hexadecimal.
func (p *Policy) Digest() string { return p.digest }

// Name is what failures are named after: "example", as Keylime calls the judgement
// by a reference state, or the name of a named policy.
func (p *Policy) Name() string {
	if p.named != "" {
		return p.named
	}
	return "example"
}

// Unknown lists the places of members that are no part of the format.
func (p *Policy) Unknown() []string { return p.unknown }

// Warnings says in a sentence each what the policy leaves to a name that no digest
// covers, or does not judge.
func (p *Policy) Warnings() []string { return p.warnings }

// PCRs are those that the policy judges: the quote must cover them.
func (p *Policy) PCRs() pcr.Set {
	if p.named != "" {
		return 0
	}
	s := pcr.Range(0, 9) | pcr.Of(14)
	if p.judgesSections {
		s |= pcr.Of(11, 12, 13)
	}
	for i := range p.events {
		s |= pcr.Of(i)
	}
	for i := range p.runtime {
		s |= pcr.Of(i)
	}
	return s
}

// Kernels is the number of alternatives for a boot.
func (p *Policy) Kernels() int { return len(p.kernels) }

// Firmwares is the number of alternatives for PCR 0.
func (p *Policy) Firmwares() int { return len(p.firmware) }

// SecureBoot reports whether Secure Boot must be on.
func (p *Policy) SecureBoot() bool { return p.secureBoot }
