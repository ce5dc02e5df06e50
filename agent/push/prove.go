package push

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"quicklime/agent/imalog"
	"quicklime/wire"
	"quicklime/wire/envelope"
	"quicklime/wire/pcr"
	"quicklime/wire/tpm"
)

var (
	errUnsteady = errors.New("the PCRs never stayed as they were from a quote to their reading")
	errTooLong  = errors.New("the measurement list is longer than the verifier takes: measure less with another IMA policy")
)

// prover makes what one session sends.
type prover struct {
	tpm       TPM
	ak        tpm.Public
	exporter  []byte
	list      *imalog.Log
	selection pcr.Selection
	slot      int           // where in selection the IMA PCR of the replayed bank is
	maxList   uint64        // bytes
	pcrs      [][]byte      // what was read last, in the order of selection
	met       bool          // the list has met a quote: how the kernel extends the bank is known
	quoting   time.Duration // of the TPM, in all
}

// proof is a quote in its envelope and what belongs to it.
type proof struct {
	envelope []byte
	pcrs     [][]byte // their digest is the quote's
	entries  imalog.Prefix
	quoting  time.Duration // of the TPM, for this proof and those that met nothing
}

// newProver refuses a Welcome that asks for what this TPM cannot quote.
func newProver(cfg Config, w wire.Welcome, exporter []byte) (*prover, error) {
	p := &prover{
		tpm: cfg.TPM, ak: cfg.AK, exporter: exporter, list: cfg.List,
		selection: w.Selection, slot: slot(w.Selection, w.IMABank), maxList: min(w.MaxList, wire.MaxList),
	}
	if p.slot < 0 {
		return nil, protocolError("it wants the list in bank %v and does not select its PCR %d", w.IMABank, pcr.IMA)
	}
	if err := p.checkBanks(); err != nil {
		return nil, err
	}
	return p, p.readPCRs()
}

// checkBanks refuses a bank that is not active: a quote over one succeeds and is
// empty (I15).
func (p *prover) checkBanks() error {
	active, err := p.tpm.ActiveBanks()
	if err != nil {
		return tpmError{err}
	}
	for _, e := range p.selection {
		if !slices.Contains(active, e.Bank) {
			return fmt.Errorf("the verifier wants PCR bank %v, active are %v: activate it in the firmware's setup, or enrol this machine for another", e.Bank, active)
		}
	}
	return nil
}

// slot is the position of the IMA PCR of a bank in a selection, -1 if it is not
// selected.
func slot(s pcr.Selection, bank pcr.Bank) int {
	n := 0
	for _, e := range s {
		for i := range e.PCRs.All() {
			if e.Bank == bank && i == pcr.IMA {
				return n
			}
			n++
		}
	}
	return -1
}

// prove quotes and returns what the quote certifies. Nothing may use the list
// before the proof is sent.
func (p *prover) prove(payload envelope.Payload) (proof, error) {
	before := p.quoting
	for range maxQuotes {
		sealed, digest, err := p.quote(payload)
		if err != nil {
			return proof{}, err
		}
		if err := p.list.Read(); err != nil {
			return proof{}, err
		}
		pr, ok, err := p.match(digest)
		if err != nil {
			return proof{}, err
		}
		if ok {
			pr.envelope, pr.quoting = sealed, p.quoting-before
			return pr, p.checkSize(pr)
		}
	}
	return proof{}, errUnsteady
}

// quote seals the payload and returns the pcrDigest of the quote.
func (p *prover) quote(payload envelope.Payload) (sealed, digest []byte, err error) {
	sealed, err = envelope.Seal(payload, p.ak, p.exporter, func(extraData []byte) (attest, signature []byte, err error) {
		began := time.Now()
		attest, signature, err = p.tpm.Quote(p.selection, extraData)
		p.quoting += time.Since(began)
		if err != nil {
			return nil, nil, tpmError{err}
		}
		a, err := tpm.ParseAttest(attest)
		if err != nil {
			return nil, nil, tpmError{err}
		}
		digest = a.PCRDigest
		return attest, signature, nil
	})
	return sealed, digest, err
}

// match finds what has the digest: a prefix of the list with the PCRs as they
// were read last, or as they are now; or else all of the list with the PCRs as
// they are now. It is false if the PCRs have moved on since the quote.
func (p *prover) match(digest []byte) (proof, bool, error) {
	if pr, ok := p.cut(digest); ok {
		return pr, true, nil
	}
	if err := p.readPCRs(); err != nil {
		return proof{}, false, err
	}
	if pr, ok := p.cut(digest); ok {
		return pr, true, nil
	}
	if pr, ok, err := p.cutPadded(digest); ok || err != nil {
		return pr, ok, err
	}
	all := proof{pcrs: p.pcrs, entries: p.list.All()}
	return all, bytes.Equal(p.digest(p.pcrs), digest), nil
}

// cut finds the prefix of the list whose replay, with the other PCRs as they were
// read, has the digest. It costs one hash of the PCRs an entry.
func (p *prover) cut(digest []byte) (proof, bool) {
	values := slices.Clone(p.pcrs)
	entries, ok := p.list.Cut(func(ima []byte) bool {
		values[p.slot] = ima
		return bytes.Equal(p.digest(values), digest)
	})
	p.met = p.met || ok
	return proof{pcrs: values, entries: entries}, ok
}

// cutPadded is cut for a kernel that does not have the hash of the bank, which shows
// nowhere but in the PCR.
func (p *prover) cutPadded(digest []byte) (proof, bool, error) {
	if p.met {
		return proof{}, false, nil
	}
	if err := p.list.Pad(true); err != nil {
		return proof{}, false, err
	}
	if pr, ok := p.cut(digest); ok {
		return pr, true, nil
	}
	return proof{}, false, p.list.Pad(false)
}

// digest is the pcrDigest of values: their hash with the AK's scheme's (TPM 2.0
// Library part 3, section 18.4).
func (p *prover) digest(values [][]byte) []byte {
	w := p.ak.SigningHash().New()
	for _, v := range values {
		w.Write(v)
	}
	return w.Sum(nil)
}

func (p *prover) readPCRs() error {
	v, err := p.tpm.ReadPCRs(p.selection)
	if err != nil {
		return tpmError{err}
	}
	p.pcrs = v.Digests()
	return nil
}

func (p *prover) checkSize(pr proof) error {
	if n := uint64(len(pr.entries.Bytes)); n > p.maxList {
		return fmt.Errorf("%w: %d bytes are new, %d the limit", errTooLong, n, p.maxList)
	}
	return nil
}
