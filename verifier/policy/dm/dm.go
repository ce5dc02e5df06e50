// Package dm judges what a kernel measured of its device-mapper devices: the
// buffers of ima-buf entries of critical data, label device-mapper, by a policy
// in Keylime's format, the member ima.dm_policy of a runtime policy.
//
// # Events
//
// The kernel (drivers/md/dm-ima.c, admin-guide/device-mapper/dm-ima.rst) writes
// text: fields key=value, ended by "," or ";", behind the version of its
// device-mapper driver:
//
//	dm_table_load     VERSION DEVICE TARGET…
//	dm_device_resume  VERSION DEVICE active_table_hash=HASH; CAPACITY
//	                  VERSION NONE device_resume=no_data; CAPACITY
//	dm_device_remove  VERSION [device_active_metadata=DEVICE] [device_inactive_metadata=DEVICE]
//	                  [active_table_hash=HASH,] [inactive_table_hash=HASH,] ALL CAPACITY
//	                  VERSION NONE device_remove=no_data; ALL CAPACITY
//	dm_table_clear    VERSION DEVICE inactive_table_hash=HASH; CAPACITY
//	                  VERSION NONE table_clear=no_data; CAPACITY
//	dm_device_rename  VERSION DEVICE RENAMED CAPACITY
//	                  VERSION device_rename=no_data; RENAMED CAPACITY
//	dm_target_update  VERSION DEVICE TARGET
//
//	VERSION   dm_version=N.N.N;
//	DEVICE    name=TEXT,uuid=TEXT,major=N,minor=N,minor_count=N,num_targets=N;
//	NONE      name=TEXT,uuid=TEXT;
//	RENAMED   new_name=TEXT,new_uuid=TEXT;
//	TARGET    target_index=N,target_begin=N,target_len=N,target_name=VALUE,target_version=N.N.N,ATTRIBUTE,…;
//	HASH      sha256:64 lower-case hex, of the buffer of the table's dm_table_load
//	ALL       remove_all=y; or remove_all=n;
//	CAPACITY  current_device_capacity=N;
//
// In a TEXT a "\" stands before each of \ ; = and comma, nowhere else. In a VALUE
// and in attributes nothing is escaped: a comma that no "key=" follows is taken
// for part of the value, as in cipher_string=capi:authenc(hmac(sha256),xts(aes)),
// and whoever chooses such a value, the description of a verity key say, can make
// it look like a further attribute of the same target. It cannot hide one, for no
// field or attribute stands twice, nor invent a target, for num_targets is the
// kernel's.
// Early kernels (5.15 is one) write, behind no_data, as many NUL bytes as VERSION
// has bytes. dm_target_update is written by kernels with a patch only.
//
// Parse reads exactly this; every event has one encoding, which Append gives.
//
// # Policies
//
// A policy is one JSON object (RFC 8259):
//
//	version   1, or absent
//	match_on  "name" or "uuid": which of both stands for a device
//	rules     {rule: {
//	  required                bool, absent: false
//	  device_resume_required  bool
//	  device_rename           {valid_name: REFERENCE, valid_uuid: REFERENCE}, absent: none is valid
//	  device_remove           {allow_removal: bool}, absent: false
//	  allow_clear             bool, absent: false
//	  table_load              {allow_multiple_loads: bool, name, uuid, major, minor, minor_count: REFERENCE,
//	                           num_targets: number, targets: [{field or attribute: REFERENCE, …}, …]}}}
//
// The first rule, in the order of the text, whose table_load.name (or uuid) fits
// judges a device for as long as it is there. A REFERENCE is
//
//	a string        a regular expression in the syntax of RE2 that matches the
//	                whole value, as if it stood between \A and \z
//	a whole number  the value is that number
//	true, false     y yes t true on 1, or n no f false off 0; for a new name or
//	                uuid: none is valid
//	null            any value
//
// Members that are no part of the format are allowed, and Unknown lists them. A
// member that an object has twice is an error.
//
// # Differences from Keylime
//
// Keylime's policies load unchanged and decide the same, but for what follows.
//
// Stricter, at the upload of a policy: references that can never match, or that
// stop Keylime's verifier when they are reached, are errors (a number with a
// fraction, match_on a member that is no expression, num_targets that is no
// number, a member that a load needs and that is missing); so is a list of
// targets of another length than num_targets, for the targets beyond it would be
// judged by nobody: {} is a target of any kind. mirror_device_data, which Keylime
// matches against the spelling of a Python object, is an error: name
// mirror_device_0, mirror_device_0_status and so on.
//
// Stricter, on events: valid_name false admits no name, where Keylime admits
// "no", "off" and "0"; a rename to the name or uuid of a device that is there
// is a failure; bytes that are not printable ASCII, an attribute that stands
// twice, and targets that are not in order are parsing failures; and there are at
// most MaxDevices devices.
//
// Exact, where Keylime fails what a kernel writes: escaped names; target types
// and attributes that it does not know (multipath, raid, striped, high_priority
// of crypt); values with characters outside its set, such as cipher_auth=hmac(sha256);
// the events resume, remove and rename without a table; a remove with an active
// and an inactive table. A table hash is SHA-256 whatever the list's digests are.
// In a policy that matches on uuid a renamed device is found under its new uuid,
// not under its new name.
//
// As in Keylime, a table that is too large for one event (4096 bytes, some 30
// targets), which the kernel spreads over several, is a failure, and so is one
// with a target of a type that writes nothing for IMA (thin, zero, error).
//
// # What a policy still waits for
//
// required and device_resume_required say what must be there in the end, and a
// list that is still growing has no end: at any point of it a device may be about
// to come. Keylime's verifier never asks. Here, Outstanding tells what is missing
// after the events so far. It is a condition of the moment, not a failure of an
// entry: it may keep a machine from counting as complete, and is over when the
// device comes, so it must not be recorded among failures, which stick.
//
// The package is pure. A Policy and a State are immutable and may be shared.
package dm

import "quicklime/wire"

// The events by name, which is the name of the ima-buf entry.
const (
	TableLoad    = "dm_table_load"
	DeviceResume = "dm_device_resume"
	DeviceRemove = "dm_device_remove"
	TableClear   = "dm_table_clear"
	DeviceRename = "dm_device_rename"
	TargetUpdate = "dm_target_update"
)

// IsEvent reports whether an ima-buf entry of that name is a device-mapper event.
func IsEvent(name []byte) bool {
	switch string(name) {
	case TableLoad, DeviceResume, DeviceRemove, TableClear, DeviceRename, TargetUpdate:
		return true
	}
	return false
}

// Failures of a device-mapper event. All are Keylime's but for NameInUse and
// TooManyDevices.
const (
	// EventType: a name that is no device-mapper event's.
	EventType wire.FailureID = "ima.validation.dm.invalid_event_type"
	// ParsingFailed: a buffer that no kernel writes, or that nothing here judges.
	ParsingFailed wire.FailureID = "ima.validation.dm.parsing_failed"

	// NoRule: no rule's table_load fits the device.
	NoRule wire.FailureID = "ima.validation.dm.dm_table_load.no_matching_policy"
	// MultipleLoads: a second table for a device whose rule has no
	// allow_multiple_loads.
	MultipleLoads wire.FailureID = "ima.validation.dm.dm_table_load.multiple_table_loads"
	// BadEntry: a name, uuid or number of the device is not the rule's.
	BadEntry wire.FailureID = "ima.validation.dm.dm_table_load.invalid_entry"
	// TargetCount: the event has not all targets of the table, or more.
	TargetCount wire.FailureID = "ima.validation.dm.dm_table_load.num_targets_mismatch"
	// TooManyDevices: a device beyond MaxDevices.
	TooManyDevices wire.FailureID = "ima.validation.dm.dm_table_load.too_many_devices"

	// ResumeBeforeLoad: a device that no rule judged is resumed.
	ResumeBeforeLoad wire.FailureID = "ima.validation.dm.dm_device_resume.resume_before_table_load"
	// AlreadyActive: a device is resumed again.
	AlreadyActive wire.FailureID = "ima.validation.dm.dm_device_resume.already_active"
	// TableMismatch: a device is resumed with another table than was judged.
	TableMismatch wire.FailureID = "ima.validation.dm.dm_device_resume.active_table_mismatch"

	// RemoveBeforeLoad: a device that no rule judged is removed.
	RemoveBeforeLoad wire.FailureID = "ima.validation.dm.dm_device_remove.remove_before_table_load"
	// Removed: a device is removed whose rule has no allow_removal.
	Removed wire.FailureID = "ima.validation.dm.dm_device_remove.device_removed"

	// ClearBeforeLoad: the table of a device that no rule judged is cleared.
	ClearBeforeLoad wire.FailureID = "ima.validation.dm.dm_table_clear.clear_before_table_load"
	// Cleared: a table is cleared whose rule has no allow_clear.
	Cleared wire.FailureID = "ima.validation.dm.dm_table_clear.table_cleared"

	// RenameBeforeLoad: a device that no rule judged is renamed.
	RenameBeforeLoad wire.FailureID = "ima.validation.dm.dm_device_rename.rename_before_table_load"
	// BadName: the rule's valid_name does not admit the new name.
	BadName wire.FailureID = "ima.validation.dm.dm_device_rename.new_name_invalid"
	// BadUUID: the rule's valid_uuid does not admit the new uuid.
	BadUUID wire.FailureID = "ima.validation.dm.dm_device_rename.new_uuid_invalid"
	// NameInUse: the new name or uuid is that of another device.
	NameInUse wire.FailureID = "ima.validation.dm.dm_device_rename.name_in_use"

	// UpdateBeforeLoad: a target of a device that no rule judged reports a change.
	UpdateBeforeLoad wire.FailureID = "ima.validation.dm.dm_target_update.update_before_table_load"
)

// Failures of a target, in a dm_table_load or a dm_target_update: each of these
// stands behind "ima.validation.dm." and the name of the event.
const (
	// targetMismatch: a field or an attribute has another value than the rule's.
	targetMismatch = ".target_data_mismatch"
	// targetAttribute: the target has no such attribute.
	targetAttribute = ".target_attribute_not_found"
	// targetInvalid: follows the mismatches of a target.
	targetInvalid = ".target_data_invalid"
)

// What Outstanding tells.
const (
	// InvalidState: a device that still has to be resumed, or that did what its
	// rule forbids.
	InvalidState wire.FailureID = "ima.validation.dm.device_invalid_state"
	// RequiredMissing: no device is in the state that a required rule wants.
	RequiredMissing wire.FailureID = "ima.validation.dm.required_policy_not_in_use"
)

// Finding is one thing that is wrong with an event, or that a policy waits for.
type Finding struct {
	ID       wire.FailureID
	Message  string // one line of printable ASCII
	Got      string // what was measured, if it is one value
	Expected string // what the rule asks for in its place, as in the policy's text
}
