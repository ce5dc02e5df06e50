package emulator

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/google/go-attestation/attest"

	"quicklime/wire"
	"quicklime/wire/daemon"
	"quicklime/wire/pcr"
)

// event is what one event of a firmware's log extended.
type event struct {
	index   int
	digests map[pcr.Bank][]byte
}

// noAction is EV_NO_ACTION: information that extends nothing (TCG PC Client PFP
// 1.06, section 10.4.1).
const noAction attest.EventType = 3

// parseBootLog returns the events of a firmware's log that extended a PCR, with
// their digests in the given banks. go-attestation reads the log: what it might
// overlook, the PCRs that come of it show.
func parseBootLog(raw []byte, banks []pcr.Bank) ([]event, error) {
	if len(raw) > wire.MaxBootLog {
		return nil, fmt.Errorf("a boot log of more than %d bytes", wire.MaxBootLog)
	}
	log, err := attest.ParseEventLog(raw)
	if err != nil {
		return nil, fmt.Errorf("boot log: %w", err)
	}
	var events []event
	for _, bank := range banks {
		n := 0
		for i, e := range log.Events(attest.HashAlg(bank)) {
			if e.Type == noAction {
				if err := checkLocality(e.Data); err != nil {
					return nil, err
				}
				continue
			}
			if err := checkEvent(e, bank); err != nil {
				return nil, fmt.Errorf("boot log: event %d: %w", i, err)
			}
			if n == len(events) {
				events = append(events, event{e.Index, make(map[pcr.Bank][]byte)})
			}
			events[n].digests[bank] = e.Digest
			n++
		}
	}
	return events, nil
}

func checkEvent(e attest.Event, bank pcr.Bank) error {
	if !pcr.Of(e.Index).Has(e.Index) {
		return fmt.Errorf("there is no PCR %d", e.Index)
	}
	if len(e.Digest) != bank.Size() {
		return daemon.WithHint(fmt.Errorf("the log has no %v digest, and the TPM has that bank", bank),
			"make a TPM with the log's banks: tpm create --banks")
	}
	return nil
}

// checkLocality refuses a log whose PCR 0 starts at another value than zero (TCG
// PC Client PFP 1.06, section 10.4.5.3): the emulator cannot start a TPM so.
func checkLocality(data []byte) error {
	locality, ok := bytes.CutPrefix(data, []byte("StartupLocality\x00"))
	if ok && !bytes.Equal(locality, []byte{0}) {
		return errors.New("the boot log's TPM was started at another locality than 0, which cannot be emulated")
	}
	return nil
}
