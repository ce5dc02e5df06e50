package rest

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
)

// I24: a policy is judged by as it was written, or refused: encoding/json would put
// U+FFFD where a text has no character.
func TestI24_TextIsNotRepaired(t *testing.T) {
	for body, want := range map[string]string{
		`{"text": "a\ud83d\ude00\"b"}`:              "a😀\"b",
		`{"text": "{\"digests\":{\"\\ud83d\":0}}"}`: `{"digests":{"\ud83d":0}}`, // the policy's own escape, which its parser judges
		"{\"text\": \"\ufffd\"}":                    "\ufffd",
		"{\"text\": \"a\xff\"}":                     "",
		`{"text": "a\ud800"}`:                       "",
		`{"text": "a\udc00"}`:                       "",
		`{"text": "\ud83d\ud83d"}`:                  "",
		`{"text": 5}`:                               "",
	} {
		var got PolicyRequest
		err := ReadJSON(httptest.NewRequest("POST", "/", strings.NewReader(body)), MaxSmallBody, &got)
		e, refused := errors.AsType[*Error](err)
		if string(got.Text) != want || refused != (want == "") || refused && e.Code != CodeBadRequest {
			t.Errorf("%s: %q, %v", body, got.Text, err)
		}
	}
}
