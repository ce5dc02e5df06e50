package revocation

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"quicklime/verifier/store"
	"quicklime/wire"
	"quicklime/wire/daemon"
)

// Webhook is a receiver of events.
type Webhook struct {
	Name string `toml:"name"` // by which it is known here, whatever its address
	URL  string `toml:"url"`  // https://…
	CA   string `toml:"ca"`   // file of certificates (PEM) that its own must chain to; empty: the system's
}

// Check refuses what cannot be delivered to. It reads no file.
func (h Webhook) Check() error {
	if !wire.ValidName(h.Name) {
		return fmt.Errorf("name %q: want 1 to 64 of a–z, A–Z, 0–9, '.', '_' and '-'", h.Name)
	}
	u, err := url.Parse(h.URL)
	if err != nil {
		return fmt.Errorf("%s: url: %w", h.Name, err)
	}
	if u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return fmt.Errorf("%s: url %q is not of the form https://host/path", h.Name, h.URL)
	}
	return nil
}

// client makes the client of one webhook, whose connections nobody else uses.
func (h Webhook) client() (*http.Client, error) {
	roots, err := h.roots()
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Timeout: tryTimeout,
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			TLSHandshakeTimeout:    tryTimeout,
			MaxResponseHeaderBytes: maxAnswerHeader,
			MaxConnsPerHost:        1,
			IdleConnTimeout:        time.Minute,
			DisableCompression:     true, // an answer that unpacks to more than it is
			ForceAttemptHTTP2:      true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// roots reads the CA file; nil are the system's.
func (h Webhook) roots() (*x509.CertPool, error) {
	if h.CA == "" {
		return nil, nil
	}
	b, err := os.ReadFile(h.CA)
	if err != nil {
		return nil, fmt.Errorf("webhook %s: ca: %w", h.Name, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, daemon.WithHint(fmt.Errorf("webhook %s: ca: %s holds no certificate", h.Name, h.CA), "give a PEM file")
	}
	return pool, nil
}

// send makes one try.
func (w *worker) send(ctx context.Context, d store.Delivery) error {
	body, err := w.keys.body(d)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.hook.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "quicklime-verifier/"+daemon.Software())
	req.Header.Set(eventHeader, d.Event.ID)
	if err := sign(req, body, w.keys.Notice, time.Now()); err != nil {
		return err
	}
	res, err := w.client.Do(req)
	if err != nil {
		return unwrapped(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(res.Body, maxAnswer)); err != nil {
		return fmt.Errorf("%s, and then %w", res.Status, err)
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("it answered %s", res.Status)
	}
	return nil
}

// unwrapped is the error without the URL, which the log has in the configuration and
// in which some receivers want a secret.
func unwrapped(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
