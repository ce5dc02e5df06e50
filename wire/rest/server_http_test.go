package rest

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// waiting is a server whose one call waits until its context ends and then
// answers with what wait returns. It says on entered that somebody waits.
func waiting(t *testing.T, wait func(http.ResponseWriter, *http.Request) error) (s *http.Server, url string, entered <-chan bool, log func() string) {
	t.Helper()
	in := make(chan bool, 1)
	mux, logged := newMux(t, []Route{GetAgent}, func(w http.ResponseWriter, r *http.Request) error {
		in <- true
		<-r.Context().Done()
		return wait(w, r)
	})
	s = NewServer(mux, nil, slog.New(slog.DiscardHandler))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return s, "http://" + l.Addr().String() + "/v1/agents/x", in, logged.String
}

// answered is what became of a call.
type answered struct {
	status int // 0: no answer
	err    error
}

func begin(t *testing.T, url string) <-chan answered {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(roleHeader, string(RoleOperator))
	done := make(chan answered, 1)
	go func() {
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			done <- answered{0, err}
			return
		}
		resp.Body.Close()
		done <- answered{resp.StatusCode, nil}
	}()
	return done
}

// patience is for what never takes so long.
const patience = 20 * time.Second

func TestShutdownEndsWaitingCalls(t *testing.T) {
	s, url, entered, _ := waiting(t, func(w http.ResponseWriter, r *http.Request) error {
		return WriteJSON(w, http.StatusOK, "nothing new")
	})
	done := begin(t, url)
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Fatalf("a call that waits held the server: %v", err)
	}
	if got := <-done; got.status != http.StatusOK {
		t.Errorf("the call that waited was answered with %+v", got)
	}
}

// A call that the shutdown interrupted must not look like a success.
func TestShutdownAbortsWhatItInterrupts(t *testing.T) {
	s, url, entered, log := waiting(t, func(_ http.ResponseWriter, r *http.Request) error { return r.Context().Err() })
	done := begin(t, url)
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if got := <-done; got.err == nil {
		t.Errorf("it was answered with %+v", got)
	}
	if !strings.Contains(log(), "the server stops") {
		t.Errorf("log is %s", log())
	}
}
