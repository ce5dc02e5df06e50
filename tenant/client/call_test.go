package client

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"testing"

	"quicklime/wire/rest"
)

// decode takes an answer apart as a call that wants a list of machines does.
func decode(status int, body []byte) (l rest.MachineList, err error) {
	p := &peer{name: "registrar", base: &url.URL{Scheme: "https", Host: "registrar.test"}}
	return l, p.decode(&http.Response{StatusCode: status, Status: http.StatusText(status)}, body, &l)
}

const (
	success = `{"agents": [{"id": "a", "ek_public": "AAECAw==", "ek_trusted": true, "seen_at": "2026-01-02T03:04:05Z"}], "unreadable": 1}`
	refusal = `{"error": {"code": "conflict", "message": "it is enrolled", "hint": "delete it"}}`
)

func TestDecodeRefusesEveryCut(t *testing.T) {
	if l, err := decode(200, []byte(success)); err != nil || len(l.Agents) != 1 || l.Unreadable != 1 {
		t.Fatalf("%+v, %v", l, err)
	}
	_, err := decode(409, []byte(refusal))
	if e, ok := errors.AsType[*rest.Error](err); !ok || *e != (rest.Error{Code: rest.CodeConflict, Message: "it is enrolled", Hint: "delete it"}) {
		t.Fatalf("error %v", err)
	}
	for status, body := range map[int]string{200: success, 409: refusal} {
		for n := range body {
			if _, err := decode(status, []byte(body[:n])); !errors.Is(err, errForeign) {
				t.Errorf("status %d, %q: error %v, want errForeign", status, body[:n], err)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(200, []byte(success))
	f.Add(409, []byte(refusal))
	f.Add(500, []byte("<html>"))
	f.Add(409, []byte(`{"error": {"message": "no code"}}`))
	f.Add(204, []byte(nil))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		_, err := decode(status, body)
		e, refused := errors.AsType[*rest.Error](err)
		switch {
		case err == nil && (status < 200 || status > 299 || !json.Valid(body)):
			t.Errorf("status %d with %q is a success", status, body)
		case refused && (e.Code == "" || status >= 200 && status <= 299):
			t.Errorf("status %d with %q is a refusal", status, body)
		case err != nil && !refused && !errors.Is(err, errForeign):
			t.Errorf("error %v is neither a refusal nor says that this is no server of ours", err)
		}
	})
}
