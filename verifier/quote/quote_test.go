package quote_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"quicklime/verifier/quote"
	"quicklime/wire"
	"quicklime/wire/envelope"
	"quicklime/wire/pcr"
	"quicklime/wire/tpm/softtpm"
)

var (
	agentID   = strings.Repeat("a1", 32)
	exporter  = bytes.Repeat([]byte{7}, wire.ExporterSize)
	nonce     = bytes.Repeat([]byte{9}, wire.NonceSize)
	selection = pcr.Selection{{Bank: pcr.SHA256, PCRs: pcr.Of(0, 10)}}
	digests   = [][]byte{bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)}
)

// opened is evidence whose quote covers s.
func opened(t *testing.T, s pcr.Selection, digests [][]byte) envelope.Opened {
	t.Helper()
	v, err := pcr.NewValues(s, digests)
	if err != nil {
		t.Fatal(err)
	}
	k := softtpm.New(t)
	b, err := envelope.Seal(envelope.Payload{Nonce: nonce, AgentID: agentID, Trigger: wire.TriggerStart}, k.Public, exporter, k.Quoter(v))
	if err != nil {
		t.Fatal(err)
	}
	o, err := envelope.Open(b, k.Public, agentID, exporter)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestVerify(t *testing.T) {
	o := opened(t, selection, digests)
	v, err := quote.Verify(o, nonce, selection, digests)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := v.PCRs().Get(pcr.SHA256, 10); !ok || !bytes.Equal(got, digests[1]) {
		t.Errorf("PCR 10 is %x", got)
	}
	if !bytes.Equal(v.AKName(), o.AK().Name()) || v.Clock() != 1000 || v.Counters().Reset != 1 {
		t.Errorf("%x, clock %d, counters %+v", v.AKName(), v.Clock(), v.Counters())
	}
}

func TestI07_OnlyALiveNonceCounts(t *testing.T) {
	o := opened(t, selection, digests)
	for name, n := range map[string][]byte{"another": bytes.Repeat([]byte{8}, 32), "none": nil, "a part of it": nonce[:31]} {
		if _, err := quote.Verify(o, n, selection, digests); !errors.Is(err, quote.ErrNonce) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// I07: where no nonce lives, none is the right one.
func TestI07_NoNonceIsNeverLive(t *testing.T) {
	if _, err := quote.Verify(envelope.Opened{}, nil, selection, digests); !errors.Is(err, quote.ErrNonce) {
		t.Error(err)
	}
}

// I15: a quote that covers nothing, and was asked for nothing, shows nothing.
func TestI15_AQuoteOfNothingIsNone(t *testing.T) {
	if _, err := quote.Verify(opened(t, nil, nil), nonce, nil, nil); !errors.Is(err, quote.ErrSelection) {
		t.Error(err)
	}
}

func TestI15_QuoteCoversExactlyWhatWasAskedFor(t *testing.T) {
	o := opened(t, selection, digests)
	for name, s := range map[string]pcr.Selection{
		"fewer PCRs":   {{Bank: pcr.SHA256, PCRs: pcr.Of(0)}},
		"more PCRs":    {{Bank: pcr.SHA256, PCRs: pcr.Of(0, 7, 10)}},
		"other PCRs":   {{Bank: pcr.SHA256, PCRs: pcr.Of(1, 10)}},
		"another bank": {{Bank: pcr.SHA1, PCRs: pcr.Of(0, 10)}},
		"more banks":   {{Bank: pcr.SHA256, PCRs: pcr.Of(0, 10)}, {Bank: pcr.SHA1, PCRs: pcr.Of(0)}},
		"nothing":      {},
	} {
		if _, err := quote.Verify(o, nonce, s, digests); !errors.Is(err, quote.ErrSelection) {
			t.Errorf("asked for %s: %v", name, err)
		}
	}
}

func TestI15_VerifyRefusesOtherValues(t *testing.T) {
	o := opened(t, selection, digests)
	for name, d := range map[string][][]byte{
		"one changed":      {digests[0], bytes.Repeat([]byte{3}, 32)},
		"in another order": {digests[1], digests[0]},
		"one less":         digests[:1],
		"a boundary moved": {digests[0][:31], append([]byte{1}, digests[1]...)},
		"all in one":       {append(bytes.Clone(digests[0]), digests[1]...), {}},
		"none":             nil,
	} {
		if _, err := quote.Verify(o, nonce, selection, d); !errors.Is(err, quote.ErrValues) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestZeroVerifiedCoversNothing(t *testing.T) {
	var v quote.Verified
	if _, ok := v.PCRs().Get(pcr.SHA256, 10); ok {
		t.Error("a quote that nobody verified covers PCR 10")
	}
	if _, err := quote.Verify(envelope.Opened{}, nonce, selection, digests); err == nil {
		t.Error("an envelope that nobody opened was verified")
	}
}
