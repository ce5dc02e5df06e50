// Package push keeps one session with the verifier alive and pushes evidence over
// it: when the session begins, when the measurement list grew, and when the
// verifier asks.
//
// # Quote first, then read
//
// The kernel appends to the list before it extends the PCR, so everything that a
// quote covers is in the list by the time the quote exists. The agent therefore
// quotes, then reads, then replays what it read and sends exactly the prefix
// whose replay the quote's pcrDigest certifies. Entries that are left over were
// appended and not extended yet: the agent quotes again soon. A busy machine
// never makes it start over.
//
// The PCRs besides PCR 10 hardly change after boot. They are read once a session,
// and again when no prefix fits. If none fits then either, the agent sends all it
// has with the PCR values that the quote does cover: that the list does not replay
// is the verifier's verdict to give.
//
// Systemd's own log is read after the quote, too, and sent when it has changed.
//
// # One at a time
//
// One evidence is in flight: what happens until its verdict is there becomes part
// of the next. A challenge goes before growth. A verdict that rejects evidence and
// asks for something else, such as the list from an earlier entry or the boot log,
// is obeyed at once and a few times; after one that asks for the same again only
// challenges are answered, for sending more of the same would prove no more.
package push

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"quicklime/agent/backoff"
	"quicklime/agent/imalog"
	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/pcr"
	"quicklime/wire/tpm"
)

// TPM is what evidence needs of a TPM. *tpmdev.Device is one.
type TPM interface {
	// Quote returns TPMS_ATTEST and TPMT_SIGNATURE by the AK.
	Quote(sel pcr.Selection, extraData []byte) (attest, signature []byte, err error)
	ReadPCRs(sel pcr.Selection) (pcr.Values, error)
	ActiveBanks() ([]pcr.Bank, error)
	BootCounters() (wire.BootCounters, error)
}

// Payloads takes what the verifier sends about payloads. *payload.Keeper is one.
type Payloads interface {
	// Take takes a message, the raw bytes behind it, and how to answer it, which any
	// goroutine may do. It never waits, and reports false if more came than was asked
	// for.
	Take(m wire.Message, raw []byte, reply func(wire.Message) error) bool
}

// Config is whom to attest to, and with what.
type Config struct {
	Verifier   channel.DialConfig // its Certificate is the transport key's
	AgentID    string
	AK         tpm.Public
	TPM        TPM
	List       *imalog.Log     // Run's until it returns
	Grew       <-chan struct{} // says that List may have grown, coalesced
	BootLog    string          // path of binary_bios_measurements; there may be no such file
	SystemdLog string          // path of systemd's tpm2-measure.log; there may be no such file
	Software   string          // the agent's version
	Payloads   Payloads        // nil: they are not asked for, and what is offered is ignored
	Notices    Notices         // nil: none are taken
	Log        *slog.Logger
}

// errRestarted says that the TPM lost the agent's keys with everything else that
// was loaded.
var errRestarted = errors.New("the TPM was restarted")

// tpmError marks an error of the TPM, which a new session does not cure.
type tpmError struct{ error }

func (e tpmError) Unwrap() error { return e.error }

// Run attests until ctx is done, over one session after the other, and then
// returns nil. An error is of the TPM, which must be opened anew.
func Run(ctx context.Context, cfg Config) error {
	boot, err := cfg.TPM.BootCounters()
	if err != nil {
		return err
	}
	keys := &signer{}
	keys.wrap(&cfg.Verifier.Certificate)
	pause := backoff.Pauses{First: firstPause, Last: lastPause, Random: rand.Float64}
	trust := &reporter{log: cfg.Log}
	var last uint64
	for {
		s := &session{cfg: cfg, boot: boot, last: &last, trust: trust}
		err := s.run(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err := errors.Join(keys.failed(), onlyTPM(err)); err != nil {
			return err
		}
		if s.accepted {
			pause.Reset()
		}
		if !backoff.Sleep(ctx, explain(cfg.Log, err, &pause)) {
			return nil
		}
	}
}

// onlyTPM is err if it is the TPM's, else nil.
func onlyTPM(err error) error {
	if _, ok := errors.AsType[tpmError](err); ok {
		return err
	}
	return nil
}

// explain logs why a session ended and returns how long to wait for the next.
func explain(log *slog.Logger, err error, pause *backoff.Pauses) time.Duration {
	var closed *channel.CloseError
	code := channel.CodeInternal
	if errors.As(err, &closed) && closed.Remote {
		code = closed.Code
	}
	wait := pause.Next()
	if code == channel.CodeDisplaced {
		wait = max(wait, displacedPause)
	}
	retry := wait.String()
	switch code {
	case channel.CodeDisplaced:
		log.Error("another session of this identity took over: is there a copy of this machine?", "error", err, "retry", retry)
	case channel.CodeNotEnrolled:
		log.Warn("the verifier does not take this machine: is it enrolled?", "error", err, "retry", retry)
	case channel.CodeDone, channel.CodeShutdown, channel.CodeBusy:
		log.Info("the verifier ended the session", "error", err, "retry", retry)
	default:
		log.Warn("the session ended", "error", err, "retry", retry)
	}
	return wait
}

// protocolError says what the verifier did that the protocol does not allow.
func protocolError(format string, args ...any) error {
	return fmt.Errorf("%w by the verifier: %s", errProtocol, fmt.Sprintf(format, args...))
}

var errProtocol = errors.New("protocol violation")
