package payload_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/wire/payload"
)

func outcome() payload.Outcome {
	return payload.Outcome{
		Manifest: sha256.Sum256([]byte("claims")), Name: "db-password", Version: 7, State: payload.Stored, At: 1795844000, Files: 3,
		Run: &payload.Run{Exit: 2, At: 1795844001, Output: []byte("no such host\n"), Cut: true},
	}
}

func made(t testing.TB, o payload.Outcome) []byte {
	t.Helper()
	b, err := keys(t).Receipt().Receipt(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestReceipt(t *testing.T) {
	withoutRun := outcome()
	withoutRun.Run = nil
	for _, o := range []payload.Outcome{outcome(), withoutRun} {
		b := made(t, o)
		got, err := keys(t).Receipt().Verify(b)
		if d := cmp.Diff(o, got); err != nil || d != "" {
			t.Error(err, d)
		}
		read, err := payload.ReadReceipt(b)
		if d := cmp.Diff(o, read); err != nil || d != "" {
			t.Error(err, d)
		}
	}
}

func TestI27_EveryCutAndEveryOtherByteOfAReceiptFails(t *testing.T) {
	b, k := made(t, outcome()), keys(t).Receipt()
	for cut := range b {
		if _, err := k.Verify(b[:cut]); !errors.Is(err, payload.ErrInvalid) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
	for i := range b {
		c := bytes.Clone(b)
		c[i] ^= 1
		if _, err := k.Verify(c); !errors.Is(err, payload.ErrInvalid) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	if _, err := k.Verify(append(b, 0)); !errors.Is(err, payload.ErrInvalid) {
		t.Fatalf("a trailing byte: %v", err)
	}
	if _, err := (payload.ReceiptKey{}).Verify(b); !errors.Is(err, payload.ErrInvalid) {
		t.Errorf("under another key: %v", err)
	}
}

func TestI03_I04_ReceiptRefuses(t *testing.T) {
	for name, change := range map[string]func(*payload.Outcome){
		"name":           func(o *payload.Outcome) { o.Name = "../x" },
		"version":        func(o *payload.Outcome) { o.Version = 0 },
		"state":          func(o *payload.Outcome) { o.State = "opened" },
		"time":           func(o *payload.Outcome) { o.At = 1 << 60 },
		"time of run":    func(o *payload.Outcome) { o.Run.At = 1 << 60 },
		"reason":         func(o *payload.Outcome) { o.Reason = strings.Repeat("a", payload.MaxReason+1) },
		"reason, binary": func(o *payload.Outcome) { o.Reason = "\xff" },
		"output":         func(o *payload.Outcome) { o.Run.Output = make([]byte, payload.MaxOutput+1) },
	} {
		o := outcome()
		change(&o)
		if _, err := keys(t).Receipt().Receipt(o); !errors.Is(err, payload.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := payload.ReadReceipt(make([]byte, payload.MaxReceipt+1)); !errors.Is(err, payload.ErrInvalid) {
		t.Errorf("over the limit: %v", err)
	}
}

func FuzzReadReceipt(f *testing.F) {
	f.Add(made(f, outcome()))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := payload.ReadReceipt(b)
		if err == nil && o.Check() != nil {
			t.Errorf("%+v", o)
		}
	})
}

func FuzzRead(f *testing.F) {
	k := key(f)
	f.Add(sign(f, k, manifest()))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := payload.Read(b)
		if err == nil && m.Check() != nil {
			t.Errorf("%+v", m)
		}
		if s, err := payload.Verify(b, &k.PublicKey, agentID); err == nil && s.Manifest() != m {
			t.Errorf("verified %+v, read %+v", s.Manifest(), m)
		}
	})
}
