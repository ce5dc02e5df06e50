package verifier_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"quicklime/verifier"
	"quicklime/verifier/identity"
	"quicklime/wire"
	"quicklime/wire/conf"
	"quicklime/wire/jointoken"
	"quicklime/wire/payload"
	"quicklime/wire/rest"
)

// delivery is a host that runs, and an operator who sends it payloads.
type delivery struct {
	testing.TB
	*host
	key     *ecdsa.PrivateKey
	machine identity.Identity
	version uint64
}

// newDelivery makes a trusted host that is challenged every second.
func newDelivery(t testing.TB) *delivery {
	t.Helper()
	disk, err := os.MkdirTemp("/var/tmp", "quicklime") // /tmp may be memory
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(disk) })
	in := newInstallation(t, func(c *verifier.Config) {
		c.StateDir = disk
		c.Challenge.Interval, c.Challenge.Answer = conf.Duration(time.Second), conf.Duration(2*time.Second)
	})
	d := &delivery{TB: t, host: in.newHost("box")}
	if d.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	d.joinWith(&d.key.PublicKey)
	if d.cfg.Payload.Dir, err = os.MkdirTemp("/dev/shm", "quicklime-delivery-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(d.cfg.Payload.Dir) })
	e := d.enrolment()
	if d.machine, err = identity.Check(d.id, e.EKPublic, e.AKPublic, e.Transport); err != nil {
		t.Fatal(err)
	}
	e.Policy = "small"
	in.call("POST", rest.AddPolicy.Pattern, rest.PolicyRequest{Name: e.Policy, Text: rest.Text(policyOf(10))}, nil)
	in.call("POST", rest.EnrolAgent.Pattern, e, nil)
	d.measureFile("/usr/bin/0")
	d.run()
	for late := time.Now().Add(patience); d.status().Trust != wire.Trusted; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("it is %+v; the verifier says:\n%s", d.status(), in.log)
		}
	}
	return d
}

// joinWith makes the machine one whose token had a payload key.
func (d *delivery) joinWith(key *ecdsa.PublicKey) {
	d.Helper()
	file := filepath.Join(d.cfg.StateDir, "membership.json")
	b, err := os.ReadFile(file)
	if err != nil {
		d.Fatal(err)
	}
	m, err := jointoken.ParseMembership(b)
	if err != nil {
		d.Fatal(err)
	}
	point, err := payload.EncodeKey(key)
	if err != nil {
		d.Fatal(err)
	}
	m.PayloadKey = jointoken.PayloadKey(point)
	if b, err = m.Encode(); err != nil {
		d.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		d.Fatal(err)
	}
}

// shipment is a payload on its way.
type shipment struct {
	manifest payload.Manifest
	upload   rest.PayloadUpload
	sealed   []byte
	receipt  payload.ReceiptKey
}

// seal seals content for the host, as the tenant does.
func (d *delivery) seal(content []byte) (s shipment) {
	d.Helper()
	d.version++
	now := time.Now().UTC().Truncate(time.Second)
	s.manifest = payload.Manifest{Agent: d.id, Name: "large", Version: d.version, Kind: payload.File, File: "file", Size: uint64(len(content)), Issued: now, Expires: now.Add(time.Hour)}
	u, err := payload.NewShare(rand.Reader)
	if err != nil {
		d.Fatal(err)
	}
	v, err := payload.NewShare(rand.Reader)
	if err != nil {
		d.Fatal(err)
	}
	share, err := payload.SealShare(rand.Reader, d.machine.EK(), d.machine.AK(), u)
	if err != nil {
		d.Fatal(err)
	}
	keys, err := payload.Derive(u, v, d.id, s.manifest.Name, d.version)
	if err != nil {
		d.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := payload.Seal(&b, bytes.NewReader(content), keys); err != nil {
		d.Fatal(err)
	}
	s.sealed, s.receipt = b.Bytes(), keys.Receipt()
	s.manifest.Content = sha256.Sum256(s.sealed)
	if s.manifest.Share, err = share.Digest(); err != nil {
		d.Fatal(err)
	}
	s.upload = rest.PayloadUpload{Object: share.Object, Secret: share.Secret, Share: v[:]}
	if s.upload.Manifest, err = s.manifest.Sign(rand.Reader, d.key); err != nil {
		d.Fatal(err)
	}
	return s
}

// send uploads a shipment in pieces.
func (d *delivery) send(s shipment) {
	d.Helper()
	path := "/v1/agents/" + d.id + "/payloads"
	d.in.call("POST", path, s.upload, nil)
	for at := 0; at < len(s.sealed); at += rest.MaxPayloadPiece {
		query := url.Values{"version": {fmt.Sprint(s.manifest.Version)}, "offset": {fmt.Sprint(at)}}
		piece := s.sealed[at:min(at+rest.MaxPayloadPiece, len(s.sealed))]
		req, err := http.NewRequestWithContext(d.Context(), "PUT", "https://"+d.in.addr+path+"/large?"+query.Encode(), bytes.NewReader(piece))
		if err != nil {
			d.Fatal(err)
		}
		res, err := d.in.client.Do(req)
		if err != nil {
			d.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode >= 300 {
			d.Fatalf("at %d: %s", at, res.Status)
		}
	}
}

// arrived waits for the receipt of a shipment.
func (d *delivery) arrived(s shipment) {
	d.Helper()
	var one rest.Payload
	for late := time.Now().Add(patience); len(one.Receipt) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(late) {
			d.Fatalf("no receipt: %+v\n%s", one, d.log)
		}
		d.in.call("GET", "/v1/agents/"+d.id+"/payloads/large", nil, &one)
	}
	o, err := s.receipt.Verify(one.Receipt)
	if err != nil || o.State != payload.Stored {
		d.Fatalf("%+v, %v", o, err)
	}
}

// BenchmarkDelivery sends 64 MiB, the most there may be, to a machine that is
// challenged every second and has two seconds to answer: sealed to a TPM emulator, kept by
// a verifier with its database on disk, fetched over QUIC, opened in memory. It prints how
// long each part took, and fails if a challenge was not answered.
func BenchmarkDelivery(b *testing.B) {
	d := newDelivery(b)
	content := make([]byte, wire.MaxPayload)
	rand.Read(content)
	samples := map[string][]time.Duration{}
	for b.Loop() {
		var s shipment
		samples["seal"] = append(samples["seal"], spent(func() { s = d.seal(content) }))
		samples["upload"] = append(samples["upload"], spent(func() { d.send(s) }))
		samples["arrive"] = append(samples["arrive"], spent(func() { d.arrived(s) }))
	}
	for name, all := range samples {
		slices.Sort(all)
		b.ReportMetric(milliseconds(all[len(all)/2]), name+"-p50-ms")
	}
	if d.in.log.Count(string(wire.Unanswered)) > 0 {
		b.Errorf("a challenge was not answered:\n%s", d.in.log)
	}
}
