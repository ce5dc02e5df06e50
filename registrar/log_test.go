package registrar_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"quicklime/wire"
	"quicklime/wire/rest"
)

// An address in the log is one that an operator can copy.
func TestAddressesInTheLogAreStrings(t *testing.T) {
	m := newMachine(t)
	in := newInstallation(t, m)
	in.join(m, in.token(rest.JoinTokenRequest{}), wire.OutcomeNew)
	ready, registered := in.logged("registrar is ready"), in.logged("registered")
	if ready["rest"] != in.at.REST.String() || ready["registration"] != in.at.Registration.String() {
		t.Errorf("it is ready at %v and %v", ready["rest"], ready["registration"])
	}
	remote, _ := registered["remote"].(string)
	if _, err := netip.ParseAddrPort(remote); err != nil {
		t.Errorf("a machine at %v: %v", registered["remote"], err)
	}
}

// logged returns the first line of the log with a message.
func (in *installation) logged(message string) (line map[string]any) {
	in.t.Helper()
	for text := range strings.Lines(in.log.String()) {
		line = nil
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			in.t.Fatal(err)
		}
		if line["msg"] == message {
			return line
		}
	}
	in.t.Fatalf("the log does not say %q:\n%s", message, in.log)
	return nil
}
