package api

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"quicklime/wire/payload"
	"quicklime/wire/rest"
)

// ListPayloads implements Payloads.
func (m *memory) ListPayloads(_ context.Context, agent string) (rest.PayloadList, error) {
	return rest.PayloadList{Payloads: []rest.Payload{m.payload}}, m.broken
}

// ListAllPayloads implements Payloads.
func (m *memory) ListAllPayloads(_ context.Context, after string) (rest.AllPayloads, error) {
	return rest.AllPayloads{Agents: []rest.AgentPayloads{}, Next: after}, m.broken
}

// GetPayload implements Payloads.
func (m *memory) GetPayload(_ context.Context, agent, name string) (rest.Payload, error) {
	if m.broken == nil && name != m.payload.Name {
		return rest.Payload{}, rest.Errorf(rest.CodeNotFound, "there is no payload %s", name)
	}
	return m.payload, m.broken
}

// WaitPayload implements Payloads.
func (m *memory) WaitPayload(ctx context.Context, agent, name string, after int64) (rest.Payload, error) {
	m.payload.Revision = after + 1
	return m.payload, m.broken
}

// AddPayload implements Payloads.
func (m *memory) AddPayload(_ context.Context, p payload.Manifest, up rest.PayloadUpload) (rest.Payload, error) {
	m.payload = rest.Payload{Name: p.Name, Version: p.Version, Size: p.Size}
	return m.payload, m.broken
}

// PutPayload implements Payloads.
func (m *memory) PutPayload(_ context.Context, agent, name string, version, offset uint64, content io.Reader) (rest.Payload, error) {
	n, err := io.Copy(io.Discard, content)
	if err != nil {
		return rest.Payload{}, err
	}
	m.payload.Received = offset + uint64(n)
	return m.payload, m.broken
}

// DeletePayload implements Payloads.
func (m *memory) DeletePayload(_ context.Context, agent, name string) error {
	_, err := m.GetPayload(context.Background(), agent, name)
	return err
}

var payloadAgent = strings.Repeat("a1", 32)

// upload is a sound one; change changes the manifest before it is signed.
func upload(t *testing.T, change func(*payload.Manifest)) rest.PayloadUpload {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	up := rest.PayloadUpload{Object: []byte("object"), Secret: []byte("secret"), Share: bytes.Repeat([]byte{7}, 32)}
	m := payload.Manifest{Agent: payloadAgent, Name: "db", Version: 3, Kind: payload.Archive, Size: 5, Content: sha256.Sum256(nil),
		Issued: time.Unix(1795844000, 0), Expires: time.Unix(1895844000, 0)}
	if m.Share, err = (payload.SealedShare{Object: up.Object, Secret: up.Secret}).Digest(); err != nil {
		t.Fatal(err)
	}
	change(&m)
	if up.Manifest, err = m.Sign(rand.Reader, key); err != nil {
		t.Fatal(err)
	}
	return up
}

func TestPayloads(t *testing.T) {
	m := newMemory()
	h := serve(t, m, rest.RoleOperator)
	path := "/v1/agents/" + payloadAgent + "/payloads"
	if p := decode[rest.Payload](t, call(t, h, "POST", path, upload(t, func(*payload.Manifest) {})), 201); p.Name != "db" || p.Version != 3 || p.Size != 5 {
		t.Errorf("%+v", p)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("PUT", path+"/db?version=3&offset=10", strings.NewReader("12345")))
	if p := decode[rest.Payload](t, w, 200); p.Received != 15 {
		t.Errorf("%+v", p)
	}
	if l := decode[rest.PayloadList](t, call(t, h, "GET", path, nil), 200); len(l.Payloads) != 1 {
		t.Errorf("%+v", l)
	}
	if l := decode[rest.AllPayloads](t, call(t, h, "GET", "/v1/payloads?after="+payloadAgent, nil), 200); l.Next != payloadAgent {
		t.Errorf("%+v", l)
	}
	if p := decode[rest.Payload](t, call(t, h, "GET", path+"/db?after=41", nil), 200); p.Revision != 42 {
		t.Errorf("%+v", p)
	}
	if e := errorOf(t, call(t, h, "GET", path+"/other", nil)); e.Code != rest.CodeNotFound || !strings.Contains(e.Hint, "payload list") {
		t.Errorf("%+v", e)
	}
	if w := call(t, h, "DELETE", path+"/db", nil); w.Code != 204 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestI03_I04_PayloadsRefused(t *testing.T) {
	m := newMemory()
	h := serve(t, m, rest.RoleOperator)
	path := "/v1/agents/" + payloadAgent + "/payloads"
	none := func(*payload.Manifest) {}
	for name, c := range map[string]struct {
		up   func() rest.PayloadUpload
		want rest.Code
	}{
		"another agent": {func() rest.PayloadUpload {
			return upload(t, func(m *payload.Manifest) { m.Agent = strings.Repeat("b2", 32) })
		}, rest.CodeInvalid},
		"another share":   {func() rest.PayloadUpload { u := upload(t, none); u.Object = []byte("other"); return u }, rest.CodeInvalid},
		"a short V":       {func() rest.PayloadUpload { u := upload(t, none); u.Share = u.Share[1:]; return u }, rest.CodeInvalid},
		"no V":            {func() rest.PayloadUpload { u := upload(t, none); u.Share = nil; return u }, rest.CodeInvalid},
		"no sealed share": {func() rest.PayloadUpload { u := upload(t, none); u.Secret = nil; return u }, rest.CodeInvalid},
		"no manifest":     {func() rest.PayloadUpload { u := upload(t, none); u.Manifest = nil; return u }, rest.CodeInvalid},
		"half a manifest": {func() rest.PayloadUpload { u := upload(t, none); u.Manifest = u.Manifest[:40]; return u }, rest.CodeInvalid},
		"a long share":    {func() rest.PayloadUpload { u := upload(t, none); u.Secret = make([]byte, 4096); return u }, rest.CodeInvalid},
	} {
		if e := errorOf(t, call(t, h, "POST", path, c.up())); e.Code != c.want || m.payload.Name != "" {
			t.Errorf("%s: %+v", name, e)
		}
	}
	for _, query := range []string{"", "?version=1", "?offset=1", "?version=-1&offset=0", "?version=1&offset=x", "?version=1&offset=99999999999", "?version=9007199254740992&offset=0"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("PUT", path+"/db"+query, strings.NewReader("x")))
		if e := errorOf(t, w); e.Code != rest.CodeBadRequest {
			t.Errorf("%q: %+v", query, e)
		}
	}
	for _, after := range []string{"x", payloadAgent[1:], payloadAgent + "0", "A1" + payloadAgent[2:]} {
		if e := errorOf(t, call(t, h, "GET", "/v1/payloads?after="+after, nil)); e.Code != rest.CodeBadRequest {
			t.Errorf("after %q: %+v", after, e)
		}
	}
	for _, name := range []string{"%2e%2e", "-x", "a%2fb", "a%00"} {
		if e := errorOf(t, call(t, h, "GET", path+"/"+name, nil)); e.Code != rest.CodeBadRequest && e.Code != rest.CodeNotFound {
			t.Errorf("%q: %+v", name, e)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("PUT", path+"/db?version=1&offset=0", bytes.NewReader(make([]byte, rest.MaxPayloadPiece+1))))
	if w.Code == 200 {
		t.Error("a piece over the limit is taken")
	}
}

func TestNoShareInTheWordsOfAnUpload(t *testing.T) {
	up := upload(t, func(*payload.Manifest) {})
	for _, s := range []string{fmt.Sprint(up), fmt.Sprintf("%+v %#v", up, up)} {
		if strings.Contains(s, "7") {
			t.Errorf("an upload in words is %q", s)
		}
	}
}
