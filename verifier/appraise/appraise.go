// Package appraise is the verifier's judgement: evidence and reference values in,
// attestation result out (RFC 9334, section 8). Deciding is pure: no file, clock,
// socket or lock, so that what was judged once can be judged again.
//
// Evidence is appraised in two steps, because a long list should be replayed and
// judged while it arrives, and not be kept: Begin checks the quote and says from
// which point the list must go on; an Appraisal takes the list, and what it thinks
// of the entries counts once the quote certifies all of them.
//
//	Rejection  the evidence proves nothing: wrong key, nonce, PCRs. It decides nothing
//	Resync     the quote counts, but the list must be sent from another point
//	Outcome    the verdict, whose failures are data; an error is never a verdict
package appraise

import (
	"bytes"
	"errors"
	"fmt"

	"quicklime/ima"
	"quicklime/verifier/epoch"
	"quicklime/verifier/quote"
	"quicklime/verifier/severity"
	"quicklime/wire"
	"quicklime/wire/envelope"
	"quicklime/wire/pcr"
	"quicklime/wire/tpm"
)

// Standing is what the verifier knows of an agent from its enrolment and from the
// last evidence that it accepted.
type Standing struct {
	Enrolment int64
	AgentID   string
	AK        tpm.Public
	Epoch     *epoch.Epoch // nil: no evidence was accepted yet
	Resume    ima.State    // the point after the last certified entry of Epoch
	Bytes     uint64       // length of the list up to there
	Clock     uint64       // TPM clock of the last accepted quote of Epoch
	Learned   Learned      // from the entries up to Resume

	// Severity labels what is found; nil: its default.
	Severity *severity.Scale

	// Cleared is what an operator has cleared of the epoch that is judged again.
	// New evidence has none: its entries were not there to be cleared.
	Cleared map[Finding]bool
}

// Finding is one failure of one entry of an epoch.
type Finding struct {
	Entry uint64
	ID    wire.FailureID
}

// Question is what evidence has to answer.
type Question struct {
	Exporter  []byte        `cbor:"1,keyasint"` // of the connection
	Nonces    [][]byte      `cbor:"2,keyasint"` // those that live: one of them
	Selection pcr.Selection `cbor:"3,keyasint"`
	Bank      pcr.Bank      `cbor:"4,keyasint"` // in which the list is replayed
}

// live returns the live nonce that equals n, or nil.
func (q Question) live(n []byte) []byte {
	for _, l := range q.Nonces {
		if bytes.Equal(l, n) {
			return l
		}
	}
	return nil
}

// Rejection says that evidence proves nothing.
type Rejection struct {
	ID  wire.FailureID
	Err error
}

func (r *Rejection) Error() string { return r.Err.Error() }
func (r *Rejection) Unwrap() error { return r.Err }

// Begun is evidence whose quote counts and whose list is still to come.
type Begun struct {
	standing Standing
	nonce    []byte
	trigger  wire.Trigger
	quote    quote.Verified
	epoch    epoch.Epoch
	step     epoch.Step
	from     ima.State
	bytes    uint64 // length of the list before from
	span     wire.Span
}

// Begin checks an evidence frame: envelope, quote, epoch. An error is a
// *Rejection.
func Begin(s Standing, q Question, ev wire.Evidence) (*Begun, error) {
	opened, err := envelope.Open(ev.Envelope, s.AK, s.AgentID, q.Exporter)
	if err != nil {
		return nil, &Rejection{wire.QuoteInvalid, err}
	}
	nonce := q.live(opened.Payload().Nonce)
	verified, err := quote.Verify(opened, nonce, q.Selection, ev.PCRs)
	switch {
	case errors.Is(err, quote.ErrNonce):
		return nil, &Rejection{wire.QuoteStale, err}
	case errors.Is(err, quote.ErrSelection):
		return nil, &Rejection{wire.QuotePCRs, err}
	case err != nil:
		return nil, &Rejection{wire.QuoteBadData, err}
	}
	e, ok := epoch.Of(verified, q.Bank)
	if !ok {
		return nil, &Rejection{wire.QuotePCRs, fmt.Errorf("the quote does not cover PCRs 0 to 9 of bank %v", q.Bank)}
	}
	b := &Begun{standing: s, nonce: nonce, trigger: opened.Payload().Trigger, quote: verified, epoch: e, span: ev.IMA}
	b.place(q.Bank)
	return b, nil
}

// place decides how the epoch follows on the last one, and where its list begins.
func (b *Begun) place(bank pcr.Bank) {
	b.step, b.from = epoch.Reset, ima.NewState(bank)
	if b.span.Padded {
		b.from = b.from.Pad()
	}
	if b.standing.Epoch == nil {
		return
	}
	b.step = b.epoch.Step(*b.standing.Epoch)
	if b.step != epoch.Same {
		return
	}
	b.from, b.bytes = b.standing.Resume, b.standing.Bytes
	if b.quote.Clock() < b.standing.Clock {
		b.step = epoch.Rollback // a TPM's clock does not go back within a boot
	}
}

// Nonce returns the live nonce that the evidence answers.
func (b *Begun) Nonce() []byte { return b.nonce }

// Trigger returns what made the agent send the evidence.
func (b *Begun) Trigger() wire.Trigger { return b.trigger }

// Quote returns the quote.
func (b *Begun) Quote() quote.Verified { return b.quote }

// Epoch returns the boot that the quote shows.
func (b *Begun) Epoch() epoch.Epoch { return b.epoch }

// New reports whether that is another boot than the last accepted one.
func (b *Begun) New() bool { return b.step == epoch.Reset || b.step == epoch.Restart }

// Resumed reports whether the machine was suspended since the last accepted evidence
// and has the boot PCRs that it had: the boot log of then is that of now.
func (b *Begun) Resumed() bool {
	return b.step == epoch.Restart && b.epoch.Boot == b.standing.Epoch.Boot
}

// Behind reports whether the quote may be older than the last accepted one: by its
// counters, or in one boot by its clock. That is a rollback, unless it is only late.
func (b *Begun) Behind() bool {
	return b.step == epoch.Rollback && (b.standing.Epoch.After(b.epoch) ||
		b.epoch.Step(*b.standing.Epoch) == epoch.Same && b.quote.Clock() < b.standing.Clock)
}

// From returns the point from which the list must go on: the start for another
// boot, else the point after the last certified entry.
func (b *Begun) From() ima.State { return b.from }

// Bytes returns the length of the list before From.
func (b *Begun) Bytes() uint64 { return b.bytes }

// Resync reports whether the evidence announces its list from another point than
// From, so that it must be sent again.
func (b *Begun) Resync() bool { return b.step != epoch.Rollback && b.span.First != b.from.Entries() }
