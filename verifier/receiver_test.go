package verifier_test

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
)

// receiverMain is a program that takes webhooks as one for Keylime does: it knows msg,
// and appends each to the file messages in the folder that it is given. There it also
// writes its certificate, ca.pem, and then its address, url.
func receiverMain() {
	dir := os.Args[1]
	var mu sync.Mutex
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var body struct{ Msg, Signature string }
		err := json.NewDecoder(r.Body).Decode(&body)
		f, ferr := os.OpenFile(filepath.Join(dir, "messages"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil || ferr != nil || body.Signature == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		defer f.Close()
		fmt.Fprintln(f, body.Msg)
	}))
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	for name, text := range map[string][]byte{"ca.pem": ca, "url": []byte(s.URL)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	select {}
}
