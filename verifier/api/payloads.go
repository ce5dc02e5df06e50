package api

import (
	"context"
	"io"
	"net/http"
	"strconv"

	"quicklime/wire"
	"quicklime/wire/payload"
	"quicklime/wire/rest"
)

// Payloads are what operators send to agents through a verifier that cannot read it.
type Payloads interface {
	// ListPayloads returns an agent's payloads. CodeNotFound: not enrolled.
	ListPayloads(ctx context.Context, agent string) (rest.PayloadList, error)

	// ListAllPayloads returns the payloads of some agents whose ids are greater than
	// after, the least of them first.
	ListAllPayloads(ctx context.Context, after string) (rest.AllPayloads, error)

	// GetPayload returns the newest version of a payload. CodeNotFound.
	GetPayload(ctx context.Context, agent, name string) (rest.Payload, error)

	// WaitPayload is GetPayload as soon as the revision is another than after, and
	// whatever GetPayload says when ctx ends before that.
	WaitPayload(ctx context.Context, agent, name string, after int64) (rest.Payload, error)

	// AddPayload begins the upload of a version, which m says is for m.Agent, or
	// resumes it. CodeNotFound: not enrolled. CodeConflict: this version is there and
	// is another, or a newer one. CodeTooLarge: there is no room.
	AddPayload(ctx context.Context, m payload.Manifest, up rest.PayloadUpload) (rest.Payload, error)

	// PutPayload adds ciphertext from an offset on. CodeNotFound: there is no such
	// version. CodeConflict: another number of bytes is there. CodeInvalid: it is not
	// the ciphertext that the manifest is about.
	PutPayload(ctx context.Context, agent, name string, version, offset uint64, content io.Reader) (rest.Payload, error)

	// DeletePayload withdraws a payload. CodeNotFound.
	DeletePayload(ctx context.Context, agent, name string) error
}

// payloads answers the routes under /v1/agents/{id}/payloads.
type payloads struct{ v Payloads }

func (p payloads) list(w http.ResponseWriter, r *http.Request) error {
	id, err := agentID(r)
	if err != nil {
		return err
	}
	l, err := p.v.ListPayloads(r.Context(), id)
	return answer(w, http.StatusOK, l, err)
}

func (p payloads) listAll(w http.ResponseWriter, r *http.Request) error {
	after := r.URL.Query().Get("after")
	if after != "" && !wire.ValidID(after) {
		return rest.Errorf(rest.CodeBadRequest, "after=%q is no agent's id", after)
	}
	l, err := p.v.ListAllPayloads(r.Context(), after)
	return answer(w, http.StatusOK, l, err)
}

func (p payloads) add(w http.ResponseWriter, r *http.Request) error {
	id, err := agentID(r)
	if err != nil {
		return err
	}
	var up rest.PayloadUpload
	if err := rest.ReadJSON(r, rest.MaxSmallBody, &up); err != nil {
		return err
	}
	m, err := readUpload(id, up)
	if err != nil {
		return err
	}
	out, err := p.v.AddPayload(r.Context(), m, up)
	return answer(w, http.StatusCreated, out, err)
}

// readUpload reads the manifest of an upload that can be offered to the agent id.
func readUpload(id string, up rest.PayloadUpload) (payload.Manifest, error) {
	m, err := payload.Read(up.Manifest)
	if err != nil {
		return m, rest.Errorf(rest.CodeInvalid, "%v", err)
	}
	share := payload.SealedShare{Object: up.Object, Secret: up.Secret}
	if err := share.Check(); err != nil {
		return m, rest.Errorf(rest.CodeInvalid, "%v", err)
	}
	digest, err := share.Digest()
	switch {
	case err != nil:
		return m, err
	case m.Agent != id:
		return m, rest.Errorf(rest.CodeInvalid, "the payload is for agent %s, the path names %s", m.Agent, id)
	case digest != m.Share:
		return m, rest.Errorf(rest.CodeInvalid, "the sealed share is not the one that the manifest is about")
	case len(up.Share) != payload.ShareSize:
		return m, rest.Errorf(rest.CodeInvalid, "the verifier's share has %d bytes, want %d", len(up.Share), payload.ShareSize)
	}
	return m, nil
}

func (p payloads) get(w http.ResponseWriter, r *http.Request) error {
	id, name, err := payloadOf(r)
	if err != nil {
		return err
	}
	after, poll, err := afterOf(r)
	if err != nil {
		return err
	}
	if !poll {
		out, err := p.v.GetPayload(r.Context(), id, name)
		return answer(w, http.StatusOK, out, err)
	}
	ctx, cancel := context.WithTimeout(r.Context(), LongPoll)
	defer cancel()
	out, err := p.v.WaitPayload(ctx, id, name, after)
	return answer(w, http.StatusOK, out, err)
}

// put takes a piece.
func (p payloads) put(w http.ResponseWriter, r *http.Request) error {
	id, name, err := payloadOf(r)
	if err != nil {
		return err
	}
	version, err := numberOf(r, "version", payload.MaxVersion)
	if err != nil {
		return err
	}
	offset, err := numberOf(r, "offset", payload.MaxSealed)
	if err != nil {
		return err
	}
	out, err := p.v.PutPayload(r.Context(), id, name, version, offset, http.MaxBytesReader(w, r.Body, rest.MaxPayloadPiece))
	return answer(w, http.StatusOK, out, err)
}

func (p payloads) delete(w http.ResponseWriter, r *http.Request) error {
	id, name, err := payloadOf(r)
	if err != nil {
		return err
	}
	return answerNothing(w, p.v.DeletePayload(r.Context(), id, name))
}

// payloadOf returns the agent and the payload that the path names (I03).
func payloadOf(r *http.Request) (id, name string, err error) {
	if id, err = agentID(r); err != nil {
		return "", "", err
	}
	if name = r.PathValue("name"); wire.ValidName(name) {
		return id, name, nil
	}
	return "", "", rest.Errorf(rest.CodeBadRequest, "%q cannot name a payload", name).
		WithHint("a name is 1 to 64 of a–z, A–Z, 0–9, '.', '_' and '-', the first a letter or digit")
}

// numberOf returns a number of the query.
func numberOf(r *http.Request, what string, most uint64) (uint64, error) {
	v := r.URL.Query().Get(what)
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil || n > most {
		return 0, rest.Errorf(rest.CodeBadRequest, "%s=%q is not a number up to %d", what, v, most)
	}
	return n, nil
}
