package tenant

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"

	"quicklime/wire/payload"
	"quicklime/wire/rest"
)

// fakePayload is a payload as the fake verifier has it.
type fakePayload struct {
	rest.Payload
	upload  rest.PayloadUpload
	content []byte
}

// say changes a payload under f.mu, as if the machine had said something.
func (f *fake) say(agent, name string, change func(*fakePayload)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changePayload(agent, name, change)
}

func (f *fake) changePayload(agent, name string, change func(*fakePayload)) {
	p := f.payloads[agent+"/"+name]
	change(p)
	p.Revision++
	close(f.moved)
	f.moved = make(chan struct{})
}

func (f *fake) payloadHandlers() map[rest.Route]rest.Handler {
	return map[rest.Route]rest.Handler{
		rest.ListPayloads: func(w http.ResponseWriter, r *http.Request) error {
			l := rest.PayloadList{Payloads: []rest.Payload{}, Floor: f.payloadFloor}
			for key, p := range f.payloads {
				if key[:64] == r.PathValue("id") {
					l.Payloads = append(l.Payloads, p.Payload)
				}
			}
			slices.SortFunc(l.Payloads, func(a, b rest.Payload) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
			return rest.WriteJSON(w, 200, l)
		},
		rest.ListAllPayloads: f.listAllPayloads,
		rest.AddPayload:      f.addPayload,
		rest.GetPayload:      f.getPayload,
		rest.PutPayload:      f.putPayload,
		rest.DeletePayload: func(w http.ResponseWriter, r *http.Request) error {
			if f.payloads[r.PathValue("id")+"/"+r.PathValue("name")] == nil {
				return notFound("payload", r.PathValue("name"))
			}
			at := now
			f.changePayload(r.PathValue("id"), r.PathValue("name"), func(p *fakePayload) { p.WithdrawnAt, p.Complete = &at, false })
			w.WriteHeader(204)
			return nil
		},
	}
}

// listAllPayloads tells of one agent at a time.
func (f *fake) listAllPayloads(w http.ResponseWriter, r *http.Request) error {
	keys := slices.Sorted(maps.Keys(f.payloads))
	l := rest.AllPayloads{Agents: []rest.AgentPayloads{}}
	for _, key := range keys {
		agent := key[:64]
		switch {
		case agent <= r.URL.Query().Get("after"):
			continue
		case len(l.Agents) == 0:
			l.Agents = append(l.Agents, rest.AgentPayloads{Agent: agent, Label: f.agents[agent].Label})
		case l.Agents[0].Agent != agent:
			l.Next = l.Agents[0].Agent
			return rest.WriteJSON(w, 200, l)
		}
		l.Agents[0].Payloads = append(l.Agents[0].Payloads, f.payloads[key].Payload)
	}
	return rest.WriteJSON(w, 200, l)
}

func (f *fake) addPayload(w http.ResponseWriter, r *http.Request) error {
	var up rest.PayloadUpload
	if err := rest.ReadJSON(r, rest.MaxSmallBody, &up); err != nil {
		return err
	}
	m, err := payload.Read(up.Manifest)
	if err != nil {
		return err
	}
	key := r.PathValue("id") + "/" + m.Name
	if p := f.payloads[key]; p == nil || !bytes.Equal(p.upload.Manifest, up.Manifest) {
		f.payloads[key] = &fakePayload{upload: up, Payload: rest.Payload{Name: m.Name, Version: m.Version, Kind: string(m.Kind), File: m.File,
			Size: m.Size, Sealed: m.SealedSize(), AddedAt: now, ExpiresAt: m.Expires}}
	}
	f.changePayload(r.PathValue("id"), m.Name, func(*fakePayload) {})
	return rest.WriteJSON(w, 201, f.payloads[key].Payload)
}

// putPayload breaks connections as often as it is told to, in the middle of a large
// payload.
func (f *fake) putPayload(w http.ResponseWriter, r *http.Request) error {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	p := f.payloads[r.PathValue("id")+"/"+r.PathValue("name")]
	if p == nil || fmt.Sprint(len(p.content)) != r.URL.Query().Get("offset") || fmt.Sprint(p.Version) != r.URL.Query().Get("version") {
		return rest.Errorf(rest.CodeConflict, "another offset")
	}
	f.changePayload(r.PathValue("id"), r.PathValue("name"), func(p *fakePayload) {
		p.content = append(p.content, b...)
		p.Received = uint64(len(p.content))
		p.Complete = p.Received == p.Sealed
	})
	if f.breaks > 0 && !p.Complete {
		f.breaks--
		f.verifier.Close()
		f.verifier.Open()
	}
	return rest.WriteJSON(w, 200, p.Payload)
}

func (f *fake) getPayload(w http.ResponseWriter, r *http.Request) error {
	for {
		p := f.payloads[r.PathValue("id")+"/"+r.PathValue("name")]
		if p == nil {
			return notFound("payload", r.PathValue("name"))
		}
		if after := r.URL.Query().Get("after"); after != fmt.Sprint(p.Revision) {
			return rest.WriteJSON(w, 200, p.Payload)
		}
		moved := f.moved
		f.mu.Unlock()
		select {
		case <-moved:
		case <-r.Context().Done():
		}
		f.mu.Lock()
		if err := r.Context().Err(); err != nil {
			return err
		}
	}
}
