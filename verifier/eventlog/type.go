package eventlog

import "fmt"

// Type is TCG_EVENTTYPE. No digest covers it: whoever writes the log chooses it.
type Type uint32

// The event types (PFP 1.06, section 10.4.1, tables 27 and 28; those without a
// place there are of the TCG PC Client Specific Implementation Specification for
// Conventional BIOS 1.21, section 11.3.1).
const (
	PrebootCert         Type = 0x00
	PostCode            Type = 0x01
	Unused              Type = 0x02
	NoAction            Type = 0x03
	SeparatorEvent      Type = 0x04
	ActionEvent         Type = 0x05
	EventTag            Type = 0x06
	SCRTMContents       Type = 0x07
	SCRTMVersion        Type = 0x08
	CPUMicrocode        Type = 0x09
	PlatformConfigFlags Type = 0x0a
	TableOfDevices      Type = 0x0b
	CompactHash         Type = 0x0c
	IPL                 Type = 0x0d
	IPLPartitionData    Type = 0x0e
	NonhostCode         Type = 0x0f
	NonhostConfig       Type = 0x10
	NonhostInfo         Type = 0x11
	OmitBootDevices     Type = 0x12
	PostCode2           Type = 0x13

	EFIVariableDriverConfig    Type = 0x80000001
	EFIVariableBoot            Type = 0x80000002
	EFIBootServicesApplication Type = 0x80000003
	EFIBootServicesDriver      Type = 0x80000004
	EFIRuntimeServicesDriver   Type = 0x80000005
	EFIGPTEvent                Type = 0x80000006
	EFIAction                  Type = 0x80000007
	EFIPlatformFirmwareBlob    Type = 0x80000008
	EFIHandoffTables           Type = 0x80000009
	EFIPlatformFirmwareBlob2   Type = 0x8000000a
	EFIHandoffTables2          Type = 0x8000000b
	EFIVariableBoot2           Type = 0x8000000c
	EFIGPTEvent2               Type = 0x8000000d
	EFIHCRTMEvent              Type = 0x80000010
	EFIVariableAuthority       Type = 0x800000e0
	EFISPDMFirmwareBlob        Type = 0x800000e1
	EFISPDMFirmwareConfig      Type = 0x800000e2
	EFISPDMDevicePolicy        Type = 0x800000e3
	EFISPDMDeviceAuthority     Type = 0x800000e4
)

var typeNames = map[Type]string{
	PrebootCert: "EV_PREBOOT_CERT", PostCode: "EV_POST_CODE", Unused: "EV_UNUSED", NoAction: "EV_NO_ACTION",
	SeparatorEvent: "EV_SEPARATOR", ActionEvent: "EV_ACTION", EventTag: "EV_EVENT_TAG",
	SCRTMContents: "EV_S_CRTM_CONTENTS", SCRTMVersion: "EV_S_CRTM_VERSION", CPUMicrocode: "EV_CPU_MICROCODE",
	PlatformConfigFlags: "EV_PLATFORM_CONFIG_FLAGS", TableOfDevices: "EV_TABLE_OF_DEVICES", CompactHash: "EV_COMPACT_HASH",
	IPL: "EV_IPL", IPLPartitionData: "EV_IPL_PARTITION_DATA", NonhostCode: "EV_NONHOST_CODE",
	NonhostConfig: "EV_NONHOST_CONFIG", NonhostInfo: "EV_NONHOST_INFO", OmitBootDevices: "EV_OMIT_BOOT_DEVICE_EVENTS",
	PostCode2:               "EV_POST_CODE2",
	EFIVariableDriverConfig: "EV_EFI_VARIABLE_DRIVER_CONFIG", EFIVariableBoot: "EV_EFI_VARIABLE_BOOT",
	EFIBootServicesApplication: "EV_EFI_BOOT_SERVICES_APPLICATION", EFIBootServicesDriver: "EV_EFI_BOOT_SERVICES_DRIVER",
	EFIRuntimeServicesDriver: "EV_EFI_RUNTIME_SERVICES_DRIVER", EFIGPTEvent: "EV_EFI_GPT_EVENT", EFIAction: "EV_EFI_ACTION",
	EFIPlatformFirmwareBlob: "EV_EFI_PLATFORM_FIRMWARE_BLOB", EFIHandoffTables: "EV_EFI_HANDOFF_TABLES",
	EFIPlatformFirmwareBlob2: "EV_EFI_PLATFORM_FIRMWARE_BLOB2", EFIHandoffTables2: "EV_EFI_HANDOFF_TABLES2",
	EFIVariableBoot2: "EV_EFI_VARIABLE_BOOT2", EFIGPTEvent2: "EV_EFI_GPT_EVENT2", EFIHCRTMEvent: "EV_EFI_HCRTM_EVENT",
	EFIVariableAuthority: "EV_EFI_VARIABLE_AUTHORITY", EFISPDMFirmwareBlob: "EV_EFI_SPDM_FIRMWARE_BLOB",
	EFISPDMFirmwareConfig: "EV_EFI_SPDM_FIRMWARE_CONFIG", EFISPDMDevicePolicy: "EV_EFI_SPDM_DEVICE_POLICY",
	EFISPDMDeviceAuthority: "EV_EFI_SPDM_DEVICE_AUTHORITY",
}

// Known reports whether the type is one of the specification's.
func (t Type) Known() bool { return typeNames[t] != "" }

// String returns the specification's name, or 0x and the number.
func (t Type) String() string {
	if name := typeNames[t]; name != "" {
		return name
	}
	return fmt.Sprintf("0x%08x", uint32(t))
}
