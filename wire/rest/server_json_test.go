package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestI04_ReadJSON(t *testing.T) {
	const max = 40
	tests := []struct {
		name, body string
		code       Code // "" is success
	}{
		{"value", `{"label": "web", "expires_in": 60}`, ""},
		{"value and white space", "{\"label\": \"web\", \"expires_in\": 60}\n\n", ""},
		{"exactly the limit", `{"label": "web", "expires_in": 60}      `, ""},
		{"one byte more", `{"label": "web", "expires_in": 60}       `, CodeTooLarge},
		{"more than the limit in the value", `{"label": "` + strings.Repeat("w", max) + `"}`, CodeTooLarge},
		{"unknown member", `{"lable": "web"}`, CodeBadRequest},
		{"wrong type", `{"label": 5}`, CodeBadRequest},
		{"two values", `{"label": "web"} {}`, CodeBadRequest},
		{"value and rubbish", `{"label": "web"} x`, CodeBadRequest},
		{"cut", `{"label": "we`, CodeBadRequest},
		{"nothing", ``, CodeBadRequest},
		{"no JSON", `label=web`, CodeBadRequest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got JoinTokenRequest
			err := ReadJSON(httptest.NewRequest("POST", "/", strings.NewReader(tt.body)), max, &got)
			if tt.code == "" {
				if want := (JoinTokenRequest{"web", 60}); err != nil || got != want {
					t.Errorf("%+v, %v; want %+v", got, err, want)
				}
				return
			}
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Code != tt.code {
				t.Fatalf("error is %#v, want code %s", err, tt.code)
			}
			if tt.body == "" && e.Message != "the body is empty, want JSON" {
				t.Errorf("no body: message is %q", e.Message)
			}
		})
	}
}

// read reads a body as a JoinTokenRequest.
func read(body []byte) (got JoinTokenRequest, err error) {
	return got, ReadJSON(httptest.NewRequest("POST", "/", bytes.NewReader(body)), MaxSmallBody, &got)
}

func TestReadJSONRefusesEveryCut(t *testing.T) {
	body := []byte(`{"label": "wéb \u00e9", "expires_in": 60}`)
	if _, err := read(body); err != nil {
		t.Fatal(err)
	}
	for n := range body {
		_, err := read(body[:n])
		if e, ok := errors.AsType[*Error](err); !ok || e.Code != CodeBadRequest {
			t.Errorf("%q: error is %v, want code %s", body[:n], err, CodeBadRequest)
		}
	}
}

func FuzzReadJSON(f *testing.F) {
	f.Add([]byte(`{"label": "web", "expires_in": 60}`))
	f.Add([]byte(`{"label": null} `))
	f.Add([]byte(`{} {}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := read(body)
		if err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || e.Code != CodeBadRequest && e.Code != CodeTooLarge {
				t.Errorf("error %v has no code that says whose fault it is", err)
			}
			return
		}
		if !json.Valid(body) {
			t.Errorf("%q is not one JSON value", body)
		}
		again, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if same, err := read(again); err != nil || same != got {
			t.Errorf("%+v reads as %+v, %v", got, same, err)
		}
	})
}

// endless is a body that ends only where far too much of it was read.
type endless struct{ read int64 }

func (e *endless) Read(b []byte) (int, error) {
	if e.read > 2*MaxBody {
		return 0, io.EOF
	}
	e.read += int64(len(b))
	return len(b), nil
}

// A handler that reads the body its own way is bounded too.
func TestI04_EveryBodyIsBounded(t *testing.T) {
	mux, _ := newMux(t, []Route{AddPolicy}, func(_ http.ResponseWriter, r *http.Request) error {
		_, err := io.Copy(io.Discard, r.Body)
		if limit, ok := errors.AsType[*http.MaxBytesError](err); !ok || limit.Limit != MaxBody {
			t.Errorf("read ended with %v, want a limit of %d", err, MaxBody)
		}
		return Errorf(CodeTooLarge, "too large")
	})
	body := &endless{}
	r := httptest.NewRequest("POST", "/v1/policies", body)
	r.Header.Set(roleHeader, string(RoleOperator))
	mux.ServeHTTP(httptest.NewRecorder(), r)
	if body.read > MaxBody+1<<20 {
		t.Errorf("%d bytes were read", body.read)
	}
}

// TestWriteErrorAlone answers outside NewMux, where no request has an id.
func TestWriteErrorAlone(t *testing.T) {
	w := httptest.NewRecorder()
	WriteError(w, errors.New("secret"))
	if e := readError(t, w.Result()); w.Code != 500 || *e != (Error{Code: CodeInternal, Message: "internal error"}) {
		t.Errorf("status %d, %+v", w.Code, e)
	}
}

func TestEveryCodeHasAnErrorStatus(t *testing.T) {
	for code, status := range Status {
		w := httptest.NewRecorder()
		WriteError(w, Errorf(code, "words"))
		if e := readError(t, w.Result()); w.Code != status || e.Code != code {
			t.Errorf("%s: status %d and code %s, want %d", code, w.Code, e.Code, status)
		}
	}
}

func TestI08_ServerHasEveryDeadline(t *testing.T) {
	s := NewServer(http.NotFoundHandler(), nil, slog.New(slog.DiscardHandler))
	for name, set := range map[string]bool{
		"ReadHeaderTimeout": s.ReadHeaderTimeout > 0,
		"ReadTimeout":       s.ReadTimeout > 0,
		"WriteTimeout":      s.WriteTimeout > 0,
		"IdleTimeout":       s.IdleTimeout > 0,
		"MaxHeaderBytes":    s.MaxHeaderBytes > 0,
	} {
		if !set {
			t.Errorf("%s is not set", name)
		}
	}
}
