// Package eventlog reads the log of what firmware, boot loader and kernel stub
// measured, and replays it to the PCRs of a quote.
//
// # Format
//
// The log (binary_bios_measurements; TCG PC Client Platform Firmware Profile
// Specification 1.06, "PFP", section 10.2) is a concatenation of events, in
// little-endian order. The first is in the form of TPM 1.2 (10.2.1):
//
//	pcr u32 | type u32 | SHA-1 digest [20]byte | size u32 | data
//
// If its data is TCG_EfiSpecIDEvent (10.4.5.1), whose table names the banks and
// the lengths of their digests, all that follow are crypto agile (10.2.2):
//
//	pcr u32 | type u32 | count u32 | count × {bank u16 | digest} | size u32 | data
//
// else all have the first form, and the log is of the SHA-1 bank alone.
//
// # What is believed
//
// A PCR covers the digests of its events, in their order, and nothing else: not
// the type of an event, and its data only as far as the digest is one of it. So
// there are three steps from bytes to something that may be believed, and a type
// for each:
//
//   - [Log] is what somebody sent. Nothing of an event can be read from it.
//   - [Replayed] is made with a quote.Verified. It gives the events of those PCRs
//     only whose events lead to the quoted value, in every bank that was quoted
//     ([Proven]); of the others it says what is wrong ([Outcome]).
//   - [Event.Data] is what its digest was recomputed from, each form where it is
//     read; nil if there is no such form. What else the log says of an event is a
//     [Claim], which anybody could have written.
//
// EV_NO_ACTION extends nothing, and no event of that type is believed (I20).
// StartupLocality (10.4.5.3) is what PCR 0 starts from; PCR 0 proves it.
//
// No replay is repaired. What a mismatch would be explained by is said
// ([Outcome.Cause]) and changes nothing. Where the data of an event is read in
// another way than the specification has it, because firmware or a boot loader
// is known to write it so, the event says it ([Event.Quirk]).
//
// [Supposed] is the same reading of a log without a quote, for people and tools.
// Nothing that decides about a machine takes one.
//
// Logs of big-endian firmware are not read.
package eventlog

import "errors"

// ErrMalformed says that the bytes are no event log.
var ErrMalformed = errors.New("malformed event log")
