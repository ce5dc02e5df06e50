package tenant

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"net/http"
	"strconv"
	"sync"

	"quicklime/wire/rest"
)

// listEvents waits if it is asked to and there is nothing new.
func (f *fake) listEvents(w http.ResponseWriter, r *http.Request) error {
	after, _ := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
	for {
		var l rest.EventList
		for _, e := range f.events {
			l.Last = e.Sequence
			if e.Sequence > after {
				l.Events = append(l.Events, e)
			}
		}
		if r.URL.Query().Get("wait") != "" {
			f.polls++
		}
		if len(l.Events) > 0 || r.URL.Query().Get("wait") == "" {
			return rest.WriteJSON(w, 200, l)
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

// revocationKey is that of every fake verifier.
var revocationKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
})

func (f *fake) revocationKeys(w http.ResponseWriter, _ *http.Request) error {
	public, err := x509.MarshalPKIXPublicKey(revocationKey().Public())
	if err != nil {
		return err
	}
	return rest.WriteJSON(w, 200, rest.RevocationKeys{Notice: public})
}

// changeDeadLetters notes what was asked for.
func (f *fake) changeDeadLetters(w http.ResponseWriter, r *http.Request) error {
	var q rest.DeadLetterRequest
	if err := rest.ReadJSON(r, rest.MaxSmallBody, &q); err != nil {
		return err
	}
	f.changedDead = append(f.changedDead, r.URL.Path+" "+q.Webhook+" "+q.Event)
	return rest.WriteJSON(w, 200, rest.DeadLetterCount{Count: 2})
}
