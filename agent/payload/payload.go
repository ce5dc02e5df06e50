// Package payload is the agent's end of payloads: it checks what the verifier
// offers, fetches the ciphertext, asks for the verifier's share of the key, opens it
// all into a directory in memory, and says what became of it.
//
// # What is believed
//
// Nothing that the verifier says. A payload is opened only if the operator has signed
// its manifest, under the key that the join token gave to this machine, for this
// agent, a name, a version and an expiry; if the sealed share and the ciphertext are
// those of the manifest; and if the version is none that a newer one has replaced
// (I27). All of that is checked before anything is decrypted.
//
// # In memory
//
//	DIR/NAME/                 the payload: its one file, or what its archive held
//	DIR/.held/NAME.json       which version that is, and how receipts of it are made
//	DIR/.partial/DIGEST       ciphertext that has arrived so far, by digest of the manifest
//	DIR/.stage/               what is being unpacked
//	DIR/.run/, DIR/.results/  what is to be run of payloads, and what became of it
//
// DIR is the agent's alone (0700) and in memory: a file system of another kind than
// tmpfs or ramfs is refused, whatever the configuration says. A new version takes the
// place of the old one in one step. What is taken away is overwritten first.
//
// # On disk
//
// STATE says which version of each name was opened last, so that no older one is
// ever opened, also after a reboot has emptied the memory. The same version is opened
// again, for that is what a reboot calls for: but only under a manifest that says the
// same.
package payload

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"quicklime/wire"
)

// TPM is what opening needs of a TPM. *tpmdev.Device is one.
type TPM interface {
	// ActivateCredential opens what TPM2_MakeCredential made for the AK under the EK.
	ActivateCredential(object, secret []byte) ([]byte, error)
}

// Config is whose payloads are opened, where to and with what.
type Config struct {
	Dir   string // see the package comment
	State string // directory of what was opened last
	Agent string // id
	Key   *ecdsa.PublicKey
	TPM   TPM
	Log   *slog.Logger
	Now   func() time.Time

	Run Allowed // what is run of payloads, by a Runner

	WithdrawUntrusted bool // wipe everything when the verifier says that the machine is not trusted
}

// A Reply sends a message to the verifier, over the session in which came what it
// answers.
type Reply = func(wire.Message) error

// event is something that came over a session.
type event struct {
	message wire.Message
	raw     []byte
	reply   Reply
}

// Keeper keeps the payloads of a machine. Everything but events is owned by Run.
type Keeper struct {
	cfg    Config
	events chan event

	reply    Reply // of the newest session; nil: none yet
	versions versions
	held     map[string]held     // by name
	gone     map[string]held     // by name: was withdrawn; without a key
	failed   map[string]held     // by name: opened, and could not be unpacked; without a key
	arriving map[string]*arrival // by name
	unwiped  bool                // the stage holds what could not be wiped
	fetching string              // name of the one whose part is under way; empty: none
}

// New prepares the directory and reads what is there. The error says what is wrong
// with them.
func New(cfg Config) (*Keeper, error) {
	k := &Keeper{cfg: cfg, events: make(chan event, maxEvents), failed: map[string]held{}, arriving: map[string]*arrival{}}
	var err error
	if err = cfg.Run.Check(); err != nil {
		return nil, fmt.Errorf("run in [payload]: %w", err)
	}
	if err = prepare(cfg.Dir); err != nil {
		return nil, fmt.Errorf("payloads: %w", err)
	}
	if err = sweepStage(cfg.Dir); err != nil {
		cfg.Log.Error("what payloads were unpacked from, or replaced, is not wiped", "error", err)
		k.unwiped = true
	}
	if k.versions, err = readVersions(cfg.State); err != nil {
		return nil, fmt.Errorf("payloads: %w", err)
	}
	if k.held, err = readHeld(cfg.Dir, cfg.Log); err != nil {
		return nil, fmt.Errorf("payloads: %w", err)
	}
	if k.gone, err = readGone(cfg.Dir); err != nil {
		return nil, fmt.Errorf("payloads: %w", err)
	}
	return k, nil
}

// Take hands over a message of the verifier, with the raw bytes behind it, and how
// to answer it. It never waits, and reports false if more came than was asked for.
func (k *Keeper) Take(m wire.Message, raw []byte, reply Reply) bool {
	select {
	case k.events <- event{m, raw, reply}:
		return true
	default:
		return false
	}
}

// Run keeps payloads until ctx is done, and then returns nil. What is held stays.
func (k *Keeper) Run(ctx context.Context) error {
	results := time.NewTicker(resultsEvery)
	defer results.Stop()
	if k.cfg.Run == "" {
		results.Stop()
	}
	for {
		select {
		case <-ctx.Done():
			k.abandon()
			return nil
		case e := <-k.events:
			k.take(e)
		case <-results.C:
			k.results()
			k.wipeAgain()
		}
	}
}

// abandon closes what has arrived in part; it goes on there the next time.
func (k *Keeper) abandon() {
	for _, a := range k.arriving {
		a.close()
	}
}

func (k *Keeper) take(e event) {
	k.reply = e.reply
	switch m := e.message.(type) {
	case wire.Offers:
		k.offers(m)
	case wire.Chunk:
		k.chunk(m, e.raw)
	case wire.Release:
		k.release(m)
	case wire.Verdict:
		k.verdict(m)
	}
}

// say sends a message. A session that has ended cannot; the next one begins with
// Offers.
func (k *Keeper) say(m wire.Message) {
	if err := k.reply(m); err != nil {
		k.cfg.Log.Debug("not sent, the session has ended", "message", fmt.Sprintf("%T", m), "error", err)
	}
}

// refuse says that a version is not opened, and why.
func (k *Keeper) refuse(name string, version uint64, why error) {
	level := slog.LevelError
	if errors.Is(why, errExpired) {
		level = slog.LevelInfo
	}
	k.cfg.Log.Log(context.Background(), level, "a payload is refused", "payload", name, "version", version, "error", why)
	k.say(wire.PayloadRefusal{Name: name, Version: version, Reason: words(why)})
}
