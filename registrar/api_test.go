package registrar_test

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"quicklime/registrar"
	"quicklime/wire/pki"
	"quicklime/wire/rest"
)

func TestI12_EveryRouteNeedsAnOperator(t *testing.T) {
	in := newInstallation(t)
	key := stranger(t) // as a machine's transport key has it
	stranger := newInstallation(t)
	ca, err := pki.Open(in.cfg.PKIDir)
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.EnsureClient("guest", "guest"); err != nil {
		t.Fatal(err)
	}
	operator, guest := in.client, in.operator("guest")
	foreign := guestOf(t, stranger, in)
	anonymous := guestOf(t, stranger, in)
	anonymous.Transport.(*http.Transport).TLSClientConfig.Certificates = nil
	machine := guestOf(t, stranger, in)
	machine.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{key}
	for _, route := range rest.RegistrarRoutes {
		url := "https://" + in.at.REST.String() + strings.ReplaceAll(route.Pattern, "{id}", strings.Repeat("0", 64))
		for name, c := range map[string]struct {
			client *http.Client
			want   int // 0: no answer at all
		}{"anonymous": {anonymous, 0}, "of another installation": {foreign, 0}, "a machine": {machine, 0}, "guest": {guest, http.StatusForbidden}} {
			if got := status(t, c.client, route.Method, url); got != c.want {
				t.Errorf("%s %s, %s: status %d, want %d", route.Method, route.Pattern, name, got, c.want)
			}
		}
		if got := status(t, operator, route.Method, url); got == 0 || got == http.StatusForbidden || got >= 500 {
			t.Errorf("%s %s, operator: status %d", route.Method, route.Pattern, got)
		}
	}
}

// guestOf is the operator of one installation who trusts another's CA.
func guestOf(t *testing.T, of, at *installation) *http.Client {
	t.Helper()
	c := of.operator("tenant")
	config := c.Transport.(*http.Transport).TLSClientConfig
	config.RootCAs = at.client.Transport.(*http.Transport).TLSClientConfig.RootCAs
	return c
}

// status is that of an answer, 0 if there is none.
func status(t *testing.T, c *http.Client, method, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

func TestI03_APIRefuses(t *testing.T) {
	in := newInstallation(t)
	zeros := strings.Repeat("0", 64)
	for name, c := range map[string]struct {
		route rest.Route
		id    string
		body  any
		want  int
	}{
		"unknown machine":            {rest.GetMachine, zeros, nil, http.StatusNotFound},
		"delete an unknown machine":  {rest.DeleteMachine, zeros, nil, http.StatusNotFound},
		"keys of an unknown machine": {rest.AcceptKeys, zeros, rest.AcceptKeysRequest{KeysHash: zeros}, http.StatusNotFound},
		"short id":                   {rest.GetMachine, "0123", nil, http.StatusBadRequest},
		"id in capitals":             {rest.DeleteMachine, strings.Repeat("A", 64), nil, http.StatusBadRequest},
		"id that is a path":          {rest.GetMachine, "..%2f..%2fetc%2fpasswd", nil, http.StatusNotFound},
		"id with a quote":            {rest.GetMachine, strings.Repeat("0", 63) + "%27", nil, http.StatusBadRequest},
		"keys of a short id":         {rest.AcceptKeys, "0123", rest.AcceptKeysRequest{KeysHash: zeros}, http.StatusBadRequest},
		"no keys":                    {rest.AcceptKeys, zeros, rest.AcceptKeysRequest{}, http.StatusUnprocessableEntity},
		"unknown member":             {rest.CreateJoinToken, "", map[string]int{"uses": 2}, http.StatusBadRequest},
		"unprintable label":          {rest.CreateJoinToken, "", rest.JoinTokenRequest{Label: "\x1b[2J"}, http.StatusUnprocessableEntity},
		"expired before it began":    {rest.CreateJoinToken, "", rest.JoinTokenRequest{ExpiresIn: -1}, http.StatusUnprocessableEntity},
		"a token for a year":         {rest.CreateJoinToken, "", rest.JoinTokenRequest{ExpiresIn: 365 * 86400}, http.StatusUnprocessableEntity},
		"a token that overflows":     {rest.CreateJoinToken, "", rest.JoinTokenRequest{ExpiresIn: 1 << 62}, http.StatusUnprocessableEntity},
		"delete no token":            {rest.DeleteJoinToken, strings.Repeat("0", 16), nil, http.StatusNotFound},
		"delete a machine's token":   {rest.DeleteJoinToken, zeros, nil, http.StatusBadRequest},
		"delete a path":              {rest.DeleteJoinToken, "..%2f..%2fagents", nil, http.StatusNotFound},
		"a token for a month":        {rest.CreateJoinToken, "", rest.JoinTokenRequest{ExpiresIn: 30 * 86400}, http.StatusCreated},
	} {
		t.Run(name, func(t *testing.T) { in.forSubtest(t).call(c.route, c.id, c.body, nil, c.want) })
	}
}

// forSubtest is the installation with a subtest's failures.
func (in *installation) forSubtest(t *testing.T) *installation {
	sub := *in
	sub.t = t
	return &sub
}

func TestEmptyLists(t *testing.T) {
	in := newInstallation(t)
	var machines, tokens map[string]any
	in.call(rest.ListMachines, "", nil, &machines, http.StatusOK)
	in.call(rest.ListJoinTokens, "", nil, &tokens, http.StatusOK)
	if machines["agents"] == nil || tokens["tokens"] == nil {
		t.Errorf("empty lists are %v and %v, want [] in both", machines, tokens)
	}
}

func TestTokensLiveForADay(t *testing.T) {
	in := newInstallation(t)
	var tok rest.JoinTokenSecret
	in.call(rest.CreateJoinToken, "", rest.JoinTokenRequest{}, &tok, http.StatusCreated)
	if life := tok.ExpiresAt.Sub(tok.CreatedAt); life.Hours() < 24 || life.Hours() > 24.001 {
		t.Errorf("a token lives for %v, want a day", life)
	}
	if strings.Contains(in.log.String(), string(tok.Secret)) || !strings.Contains(in.log.String(), tok.ID) {
		t.Errorf("the log must name the token and not hold its secret:\n%s", in.log)
	}
}

func TestFirstStart(t *testing.T) {
	in := newInstallation(t)
	first := in.log.String()
	for _, file := range []string{"ca.crt", "tenant.crt", "tenant.key"} {
		if !strings.Contains(first, in.cfg.PKIDir+"/"+file) {
			t.Errorf("the log does not say where %s is:\n%s", file, first)
		}
	}
	if !strings.Contains(first, "no EK trust anchors") {
		t.Errorf("the log does not say that there are no anchors:\n%s", first)
	}
	old := in.client
	in.restart(func(*registrar.Config) {})
	in.client = old // the second start must not have made another CA
	in.call(rest.ListMachines, "", nil, nil, http.StatusOK)
}
