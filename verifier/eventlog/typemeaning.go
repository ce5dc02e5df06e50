package eventlog

// meanings say what is measured by an event of a type, and whether the log has it (PFP
// 1.06, section 10.4.1; of EV_IPL and EV_EVENT_TAG, who writes them).
var meanings = map[Type]string{
	PrebootCert:         "reserved",
	PostCode:            "firmware code; the log says where it is",
	Unused:              "reserved",
	NoAction:            "nothing: what the log says of itself",
	SeparatorEvent:      "the end of a phase of the boot, or an error",
	ActionEvent:         "a text: what firmware did",
	EventTag:            "something with a tag, by the operating system or its loader: Linux' command line and initrd, systemd's files",
	SCRTMContents:       "the code that measures first",
	SCRTMVersion:        "the version of the code that measures first",
	CPUMicrocode:        "an update of the processor's microcode",
	PlatformConfigFlags: "settings of the firmware",
	TableOfDevices:      "a table of devices that the maker defines",
	CompactHash:         "something that the maker defines",
	IPL:                 "what a boot loader does: GRUB's commands and files, shim's lists of keys, sections of a unified kernel image",
	IPLPartitionData:    "the partition table of the disk that was booted",
	NonhostCode:         "code of a part with a processor of its own",
	NonhostConfig:       "settings of a part with a processor of its own",
	NonhostInfo:         "that a part with a processor of its own is there",
	OmitBootDevices:     "a text: attempts to boot from devices are not measured",
	PostCode2:           "firmware code; the log names it and says where it is",

	EFIVariableDriverConfig:    "a variable that configures firmware: Secure Boot and its keys",
	EFIVariableBoot:            "the value of a variable that says what to boot",
	EFIBootServicesApplication: "an image that was loaded: a boot loader, a kernel",
	EFIBootServicesDriver:      "a driver that was loaded",
	EFIRuntimeServicesDriver:   "a driver that was loaded and stays",
	EFIGPTEvent:                "the partition table of the disk that was booted",
	EFIAction:                  "a text: what firmware did",
	EFIPlatformFirmwareBlob:    "firmware code; the log says where it is",
	EFIHandoffTables:           "tables that firmware hands on, such as SMBIOS",
	EFIPlatformFirmwareBlob2:   "firmware code; the log names it and says where it is",
	EFIHandoffTables2:          "tables that firmware hands on, such as SMBIOS; the log names them",
	EFIVariableBoot2:           "a variable that says what to boot",
	EFIGPTEvent2:               "the partition table of the disk that was booted, without its GUIDs",
	EFIHCRTMEvent:              "that the processor measured before firmware ran (H-CRTM)",
	EFIVariableAuthority:       "what an image was accepted by: a key of db, or shim's",
	EFISPDMFirmwareBlob:        "firmware of a device, as the device tells (SPDM)",
	EFISPDMFirmwareConfig:      "settings of a device, as the device tells (SPDM)",
	EFISPDMDevicePolicy:        "a variable with the keys that devices may have (SPDM)",
	EFISPDMDeviceAuthority:     "the key that a device was accepted by (SPDM)",
}

// Meaning says in a phrase what an event of the type measures; empty: the type is not
// one of the specification's.
func (t Type) Meaning() string { return meanings[t] }
