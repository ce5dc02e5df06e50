package attack_test

import (
	"time"

	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/rest"
)

var (
	binding  = refuser{does: "`wire/envelope.Open`: the quote is over the connection's exporter", says: "the quote is over another message, connection or nonce"}
	dating   = refuser{does: "`verifier/session`, `verifier/store.Commit`: trust is dated from the issue of the nonce"}
	spending = refuser{does: "`verifier/quote.Verify`: each nonce counts once", says: "the nonce is not the one that was issued"}
)

// replays are true evidence where or when it does not count (I07, I13).
var replays = []attack{
	{"evidence replayed on its connection", spending, sight{rejection: wire.QuoteStale}, func(k *session) {
		k.measure(miner)
		k.refused(k.sent)
	}},
	{"evidence replayed on another connection", binding, unsigned, func(k *session) {
		k.measure(miner)
		k.machine.dial().refused(k.sent)
	}},
	{"evidence relayed from another connection", binding, unsigned, func(k *session) {
		there := k.machine.dial() // displaces k, whose machine is made to answer
		t := k.testify(there.nonce)
		there.refused(t)
	}},
	{"evidence for another agent", refuser{does: "`wire/envelope.Open`: the ueid is the enrolled agent's", says: "the ueid is of another agent"}, unsigned, func(k *session) {
		t := k.testify(k.nonce)
		id := k.id
		other := "00"
		if id[:2] == other {
			other = "11"
		}
		k.id = other + id[2:]
		t.envelope = k.seal(k.nonce, k.conn.Exporter(), func(extra []byte) ([]byte, []byte, error) { return k.device.Quote(k.welcome.Selection, extra) })
		k.id = id
		k.refused(t)
	}},
	{"a stockpiled quote after a reconnect", binding, unsigned, func(k *session) {
		stock := k.testify(k.nonce) // clean
		k.measure(miner)
		k.conn.Close(channel.CodeDone, "")
		k.machine.dial().refused(stock)
	}},
}

// silences leave a challenge unanswered (I07, I13).
var silences = []attack{
	{"a challenge not answered", refuser{does: "`verifier/session`: an answer is due within D"}, sight{stale: true}, func(k *session) {
		before := k.agent()
		k.measure(miner)
		k.closed(channel.CodeSilent)
		k.notExtended(before, k.agent())
	}},
	{"a stockpiled quote in the place of an answer", dating, sight{stale: true, words: "trust ends at T after a nonce that is older than the attack"}, func(k *session) {
		stock := k.testify(k.nonce) // clean
		k.measure(miner)
		compromised := time.Now()
		k.challenged()
		k.send(stock)
		k.verdict()
		a := k.agent()
		k.datedByNonce(a)
		if a.Last.NonceIssued.After(compromised) {
			k.t.Errorf("the nonce of %v counts after a compromise at %v", a.Last.NonceIssued, compromised)
		}
		k.closed(channel.CodeSilent)
		k.notExtended(a, k.agent())
	}},
}

// evasions try to win time without an answer (I07, I13).
var evasions = []attack{
	{"hiding from challenges by disconnecting", dating, sight{stale: true, words: "no session brings trust without evidence"}, func(k *session) {
		before := k.agent()
		k.measure(miner)
		deadline := time.Now().Add(patience)
		for a := before; a.Trust == wire.Trusted; a = k.agent() {
			k.notExtended(before, a)
			if time.Now().After(deadline) {
				k.t.Fatalf("still trusted: %+v", a)
			}
			k.challengedOrNot()
			k.conn.Close(channel.CodeDone, "")
			k = k.machine.dial()
		}
	}},
	{"the TPM's clock set forward", dating, sight{stale: true, words: "no trust is won: T is counted by the verifier's clock"}, func(k *session) {
		last := k.agent().Last
		k.setClock(last.Clock + uint64(time.Hour.Milliseconds()))
		k.send(k.testify(k.nonce))
		if v := k.verdict(); !v.Accepted || v.Trust != wire.Trusted {
			k.t.Fatalf("%+v", v)
		}
		a := k.agent()
		if a.Last.Clock < last.Clock+uint64(time.Hour.Milliseconds()) {
			k.t.Errorf("the quote's clock is %d, was %d: it was not set", a.Last.Clock, last.Clock)
		}
		k.datedByNonce(a)
		k.conn.Close(channel.CodeDone, "")
	}},
}

// challenged waits for a challenge.
func (k *session) challenged() {
	k.t.Helper()
	k.challengedOrNot()
	if k.challenge == nil {
		k.t.Fatal("no challenge came")
	}
}

// challengedOrNot waits for a challenge for as long as one can take.
func (k *session) challengedOrNot() {
	k.t.Helper()
	if m, err := k.conn.Receive(trustOf(k.site.timing)); err == nil {
		c, ok := m.(wire.Challenge)
		if !ok {
			k.t.Fatalf("a %T in the place of a challenge", m)
		}
		k.challenge = c.Nonce
	}
}

// datedByNonce checks that trust is as long as the nonce allows.
func (m *machine) datedByNonce(a rest.Agent) {
	m.t.Helper()
	if want := a.Last.NonceIssued.Add(trustOf(m.site.timing)); !a.FreshUntil.Equal(want) {
		m.t.Errorf("trusted until %v, the nonce allows %v", a.FreshUntil, want)
	}
}
