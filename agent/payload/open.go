package payload

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"quicklime/wire"
	"quicklime/wire/payload"
	"quicklime/wire/payload/archive"
)

// release opens a payload with the verifier's share.
func (k *Keeper) release(r wire.Release) {
	a, ok := k.arriving[r.Name]
	if !ok || a.signed.Manifest().Version != r.Version || !a.complete() {
		k.cfg.Log.Warn("a share came that was not asked for", "payload", r.Name, "version", r.Version)
		return
	}
	keys, err := k.keys(a, r.Share)
	if err == nil {
		err = k.acceptable(a.signed, a.share) // it may have expired on the way
	}
	if err == nil {
		err = k.versions.keep(a.signed)
	}
	if err != nil {
		k.drop(r.Name)
		k.refuse(r.Name, r.Version, err)
		return
	}
	files, err := k.open(a, keys)
	k.drop(r.Name)
	if errors.Is(err, payload.ErrInvalid) {
		k.refuse(r.Name, r.Version, err) // the keys are not the operator's: no receipt could be checked
		return
	}
	k.conclude(a.signed, keys, files, err)
}

// keys combines the share that only this TPM opens with the verifier's.
func (k *Keeper) keys(a *arrival, v payload.Share) (payload.Keys, error) {
	secret, err := k.cfg.TPM.ActivateCredential(a.share.Object, a.share.Secret)
	if err != nil {
		return payload.Keys{}, fmt.Errorf("the TPM does not open the sealed share, which is for its EK and AK as they were when it was sent: %w", err)
	}
	if len(secret) != payload.ShareSize {
		return payload.Keys{}, fmt.Errorf("the sealed share has %d bytes, want %d", len(secret), payload.ShareSize)
	}
	m := a.signed.Manifest()
	return payload.Derive(payload.Share(secret), v, m.Agent, m.Name, m.Version)
}

// open decrypts a payload into the stage, and puts it into its place. It returns how
// many files that are.
func (k *Keeper) open(a *arrival, keys payload.Keys) (files uint64, err error) {
	if err := inMemory(k.cfg.Dir); err != nil {
		return 0, err
	}
	stage, err := os.MkdirTemp(filepath.Join(k.cfg.Dir, stageDir), "")
	if err != nil {
		return 0, err
	}
	defer func() {
		// What stays is swept at the next start. The payload is in its place all the same.
		if err := wipe(stage); err != nil {
			k.cfg.Log.Error("what a payload was unpacked from, or replaced, is not wiped", "directory", stage, "error", err)
			k.unwiped = true
		}
	}()
	contents := filepath.Join(stage, "contents")
	if err := os.Mkdir(contents, 0o700); err != nil {
		return 0, err
	}
	if files, err = a.unseal(stage, contents, keys); err != nil {
		return 0, err
	}
	return files, place(contents, filepath.Join(k.cfg.Dir, a.signed.Manifest().Name))
}

// unseal decrypts a payload and writes its files to a directory, an archive by way of
// the stage.
func (a *arrival) unseal(stage, contents string, keys payload.Keys) (files uint64, err error) {
	if m := a.signed.Manifest(); m.Kind == payload.File {
		return 1, a.decrypt(filepath.Join(contents, m.File), keys)
	}
	packed := filepath.Join(stage, "archive")
	if err := a.decrypt(packed, keys); err != nil {
		return 0, err
	}
	return unpack(packed, contents, archive.MaxUnpacked)
}

// decrypt writes the plaintext to a new file.
func (a *arrival) decrypt(file string, keys payload.Keys) (err error) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := a.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return payload.Open(f, bufio.NewReader(io.LimitReader(a.file, int64(a.size()))), a.signed.Manifest().Size, keys)
}

// conclude keeps what became of a payload that was opened, and tells the operator.
func (k *Keeper) conclude(s payload.Signed, keys payload.Keys, files uint64, failure error) {
	m := s.Manifest()
	o := payload.Outcome{Manifest: s.Digest(), Name: m.Name, Version: m.Version, State: payload.Stored, At: uint64(k.cfg.Now().Unix()), Files: files}
	if failure != nil {
		o.State, o.Files, o.Reason = payload.Failed, 0, words(failure)
	}
	key := keys.Receipt()
	receipt, err := key.Receipt(o)
	if err != nil {
		k.cfg.Log.Error("no receipt can be made", "payload", m.Name, "error", err)
		return
	}
	if failure != nil {
		k.cfg.Log.Error("a payload was opened and cannot be unpacked", "payload", m.Name, "version", m.Version, "error", failure)
		k.failed[m.Name] = held{opened: openedOf(s), Receipt: receipt}
		k.say(wire.Receipt{Receipt: receipt})
		return
	}
	h := held{opened: openedOf(s), Key: hex.EncodeToString(key[:]), Receipt: receipt}
	if err := h.write(k.cfg.Dir, m.Name); err != nil {
		k.cfg.Log.Error("which version is held will be forgotten by the next start", "payload", m.Name, "error", err)
	}
	k.held[m.Name] = h
	k.cfg.Log.Info("a payload is in its place", "payload", m.Name, "version", m.Version, "files", files, "directory", filepath.Join(k.cfg.Dir, m.Name))
	k.say(wire.Receipt{Receipt: receipt})
	k.request(m.Name, m.Version)
}
