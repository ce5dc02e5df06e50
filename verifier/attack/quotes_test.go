package attack_test

import (
	"bytes"
	"slices"

	"quicklime/ima"
	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/pcr"
	"quicklime/wire/tpm/softtpm"
)

var (
	selecting = refuser{does: "`verifier/quote.Verify`: the quote covers exactly what Welcome asked for", says: "the quote covers other PCRs than were asked for"}
	heading   = refuser{does: "`wire/envelope.parse`: there is one encoding, under exactly the protected header that the AK implies", says: "not the deterministic encoding with exactly"}
	beginning = refuser{does: "`wire/tpm.ParseAttest`: what is signed begins with TPM_GENERATED", says: "attestation without TPM_GENERATED"}
	proving   = refuser{does: "`wire/tpm.Public.VerifySignature`: the enrolled AK signed the attestation", says: "signature does not verify"}
)

var (
	misquoted = sight{rejection: wire.QuotePCRs}
	unsigned  = sight{rejection: wire.QuoteInvalid}
)

// selections are quotes by the right key over other PCRs than were asked for (I15).
var selections = []attack{
	{"a quote over another bank", selecting, misquoted, quoting(func(s pcr.Selection) { s[0].Bank = pcr.SHA1 })},
	{"a quote over an inactive bank", selecting, misquoted, quoting(func(s pcr.Selection) { s[0].Bank = pcr.SHA512 })},
	{"a quote over fewer PCRs", selecting, misquoted, quoting(func(s pcr.Selection) { s[0].PCRs &^= pcr.Of(pcr.IMA) })},
	{"a quote over more PCRs", selecting, misquoted, quoting(func(s pcr.Selection) { s[0].PCRs |= pcr.Of(16) })},
	{"a quote over a PCR that anybody resets, in the place of PCR 10", selecting, misquoted, quoting(func(s pcr.Selection) {
		s[0].PCRs = s[0].PCRs&^pcr.Of(pcr.IMA) | pcr.Of(16)
	})},
	{"a machine that says it has only SHA-1", refuser{does: "`verifier/session`: the lowest bank is the enrolment's, not the machine's to choose", says: "no active PCR bank of at least sha256"}, sight{rejection: wire.QuoteWeakBank}, func(k *session) {
		hello := k.hello()
		hello.Boot.Reset++ // another boot, so that the bank is chosen anew
		hello.Banks = []pcr.Bank{pcr.SHA1}
		k.connect(k.site.attesting, hello).closed(channel.CodeProtocol)
	}},
	{"other PCR values beside a good quote", refuser{does: "`verifier/quote.Verify`: the values hash to the quote's pcrDigest", says: "the PCR values are not those that were quoted"}, sight{rejection: wire.QuoteBadData}, func(k *session) {
		k.measure(miner)
		t := k.testify(k.nonce)
		clean := ima.NewState(pcr.SHA256)
		for _, e := range append(k.list[:k.from:k.from], tool) {
			clean.Extend(e)
		}
		t.pcrs[10], t.list = clean.PCR(), encode([]ima.Entry{tool})
		k.refused(t)
	}},
}

// quoting has the machine quote other PCRs, with values that fit them.
func quoting(change func(pcr.Selection)) func(k *session) {
	return func(k *session) {
		k.measure(miner)
		sel := slices.Clone(k.welcome.Selection)
		change(sel)
		t := k.over(k.nonce, sel)
		if v, err := k.device.ReadPCRs(sel); err == nil { // none of an inactive bank
			t.pcrs = v.Digests()
		}
		t.list, t.count = nil, 0
		k.refused(t)
	}
}

// forgeries are signatures that are no quote by the machine's AK (I07).
var forgeries = []attack{
	{"a quote with trailing bytes", refuser{does: "`wire/tpm.ParseAttest`: no byte follows the attestation", says: "malformed TPM structure: attestation"}, unsigned, signing(func(k *session, extra []byte) (attest, signature []byte, err error) {
		attest, signature, err = k.device.Quote(k.welcome.Selection, extra)
		return append(attest, 0), signature, err
	})},
	{"a signature with trailing bytes", refuser{does: "`wire/tpm.Public.VerifySignature`: no byte follows the signature", says: "malformed TPM structure: signature"}, unsigned, signing(func(k *session, extra []byte) (attest, signature []byte, err error) {
		attest, signature, err = k.device.Quote(k.welcome.Selection, extra)
		return attest, append(signature, 0), err
	})},
	{"a quote by another TPM", refuser{does: "`wire/envelope.Open`: the signer is the enrolled AK in the endorsement hierarchy", says: "the signer is not the enrolled AK"}, unsigned, func(k *session) {
		other := newMachine(k.t, k.site, pcr.SHA256)
		t := k.testify(k.nonce)
		t.envelope = k.seal(k.nonce, k.conn.Exporter(), func(extra []byte) ([]byte, []byte, error) { return other.device.Quote(k.welcome.Selection, extra) })
		k.refused(t)
	}},
	{"a quote signed by a key outside the TPM", proving, unsigned, signing(func(k *session, extra []byte) (attest, signature []byte, err error) {
		attest, _, err = k.device.Quote(k.welcome.Selection, extra)
		return attest, softtpm.New(k.t).Sign(attest), err
	})},
	{"a quote altered after it was signed", proving, unsigned, signing(func(k *session, extra []byte) (attest, signature []byte, err error) {
		attest, signature, err = k.device.Quote(k.welcome.Selection, make([]byte, 32))
		return bytes.Replace(attest, make([]byte, 32), extra, 1), signature, err
	})},
	{"a quote without the magic, signed by the AK", beginning, unsigned, signing(func(k *session, extra []byte) (attest, signature []byte, err error) {
		attest, _, err = k.device.Quote(k.welcome.Selection, extra)
		attest[0] ^= 1
		return attest, k.signHashed(attest), err
	})},
	{"a quote of our own making, hashed and signed by the AK", refuser{does: "the TPM: it signs nothing that begins with TPM_GENERATED and is not its own", says: "signature does not verify"}, unsigned, signing(func(k *session, extra []byte) (attest, signature []byte, err error) {
		attest, signature, err = k.device.Quote(k.welcome.Selection, extra)
		attest[len(attest)-1] ^= 1 // the digest of PCRs that we would like
		if s, refused := k.trySignHashed(attest); refused == nil {
			k.t.Errorf("the TPM signed an attestation that it did not make: %x", s)
		}
		return attest, signature, err
	})},
	{"a certification", refuser{does: "`wire/envelope.Open`: the attestation is a quote", says: "is of type 0x8017, not a quote"}, unsigned, signing(func(k *session, extra []byte) (attest, signature []byte, err error) {
		return k.device.CertifyTransport(extra)
	})},
}

// signing has the machine sign its evidence in another way than by a quote.
func signing(quote func(k *session, extra []byte) (attest, signature []byte, err error)) func(k *session) {
	return func(k *session) {
		t := k.testify(k.nonce)
		t.envelope = k.seal(k.nonce, k.conn.Exporter(), func(extra []byte) ([]byte, []byte, error) { return quote(k, extra) })
		k.refused(t)
	}
}
