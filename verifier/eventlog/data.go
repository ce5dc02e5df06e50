package eventlog

import (
	"fmt"
)

// Data is what the digest of an event covers. It is one of
//
//	Variable       EV_EFI_VARIABLE_DRIVER_CONFIG, _AUTHORITY, _BOOT2, EV_EFI_SPDM_DEVICE_POLICY, _AUTHORITY
//	BootValue      EV_EFI_VARIABLE_BOOT
//	Separator      EV_SEPARATOR
//	Action         EV_ACTION, EV_EFI_ACTION, EV_OMIT_BOOT_DEVICE_EVENTS, EV_EFI_HCRTM_EVENT
//	GPT            EV_EFI_GPT_EVENT, EV_EFI_GPT_EVENT2
//	Version        EV_S_CRTM_VERSION
//	Tagged         EV_EVENT_TAG
//	TaggedValue    EV_EVENT_TAG of which the value alone is measured
//	Line           EV_IPL by GRUB
//	SectionName    EV_IPL by systemd-stub
//	LoadOptions    EV_IPL by systemd-boot and systemd-stub
//	Bytes          any other type whose digest is of the whole data
//
// A form is found by the type, which no digest covers. So the same bytes under
// another type are of another form, within their PCR: who judges must say which
// events a PCR may have, not only which it must.
type Data interface{ covered() }

// Separator is EV_SEPARATOR: 0 or 0xFFFFFFFF between the phases of the boot, 1 an
// error in what was measured before (PFP 1.06, sections 10.4.1 and 3.3.2.2).
type Separator struct{ Value uint32 }

// SeparatorError is the value of a separator after an error.
const SeparatorError = 1

// Action is an event that is its text: ASCII without a NUL (PFP 1.06, section
// 10.4.4).
type Action struct{ Text string }

// Version is the version of the S-CRTM: UTF-16 with or without NUL, or a GUID (PFP
// 1.06, section 10.4.1).
type Version struct{ Value []byte }

// Tagged is TCG_PCClientTaggedEvent, all of it measured (PFP 1.06, section
// 10.4.2.1). SeaBIOS and Windows write it so.
type Tagged struct {
	ID    uint32
	Value []byte
}

// TaggedValue is what a tagged event says without its number, which the digest
// does not cover (PFP 1.06, section 10.4.2.1: digest of taggedEventData).
type TaggedValue struct{ Value []byte }

// Role is what GRUB says that a line is.
type Role string

const (
	NoRole            Role = ""               // it says nothing that is known
	Command           Role = "grub_cmd"       // a command of the menu
	KernelCommandLine Role = "kernel_cmdline" // path of the kernel and its command line
	ModuleCommandLine Role = "module_cmdline" // the same of a multiboot module
)

// Line is what GRUB measures as a string, into PCR 8 (GRUB: grub-core/commands/
// tpm.c, grub_tpm_verify_string): the line without NUL. The log has it behind its
// role and ": ", which the digest does not cover; see Claim.Role.
type Line struct{ Text string }

// SectionName is the name of a section of a unified kernel image, into PCR 11,
// before the section itself (systemd: docs/TPM2_PCR_MEASUREMENTS.md, "PCR 11,
// EV_IPL, PE section name"): ASCII with NUL. The log has it in UTF-16.
type SectionName struct{ Name string }

// LoadOptions is a kernel command line in UTF-16, into PCR 12 (systemd: docs/
// TPM2_PCR_MEASUREMENTS.md, "PCR 12, EV_IPL, kernel command line"), 8 before
// version 252.
type LoadOptions struct{ Text string }

// Bytes is data whose form is not known, or not needed.
type Bytes struct{ Value []byte }

func (Variable) covered()    {}
func (BootValue) covered()   {}
func (Separator) covered()   {}
func (Action) covered()      {}
func (GPT) covered()         {}
func (Version) covered()     {}
func (Tagged) covered()      {}
func (TaggedValue) covered() {}
func (Line) covered()        {}
func (SectionName) covered() {}
func (LoadOptions) covered() {}
func (Bytes) covered()       {}

// String shows a version as a text, a GUID or in hexadecimal.
func (v Version) String() string {
	if s, ok := utf16Text(v.Value); ok {
		return s
	}
	if len(v.Value) == len(GUID{}) {
		return GUID(v.Value).String()
	}
	return fmt.Sprintf("%x", v.Value)
}
