package revocation

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"quicklime/wire/daemon"
	"quicklime/wire/notice"
	"quicklime/wire/pki"
)

// pemSuccession is the type of the PEM blocks behind the revocation key, the oldest
// first: each a succession, and in the header fromHeader the key that signed it.
const (
	pemSuccession = "QUICKLIME KEY SUCCESSION"
	fromHeader    = "From" // hexadecimal
)

// link is a succession that was checked.
type link struct {
	from     notice.Key
	envelope []byte
	notice.Succession
}

func (l link) block() *pem.Block {
	return &pem.Block{Type: pemSuccession, Headers: map[string]string{fromHeader: hex.EncodeToString(l.from[:])}, Bytes: l.envelope}
}

// chain is how the revocation key came to be what it is, the oldest link first.
type chain []link

// readChain reads the links to a key: each leads to the next, and the last to it.
func readChain(blocks []*pem.Block, to notice.Key) (c chain, err error) {
	for i, b := range blocks {
		l, err := readLink(b)
		if err != nil {
			return nil, fmt.Errorf("succession %d of %d: %w", i+1, len(blocks), err)
		}
		if i > 0 && (l.from != c[i-1].To || l.Number <= c[i-1].Number) {
			return nil, fmt.Errorf("succession %d of %d does not follow the one before", i+1, len(blocks))
		}
		c = append(c, l)
	}
	if len(c) > 0 && c[len(c)-1].To != to {
		return nil, errors.New("the successions lead to another key")
	}
	return c, nil
}

func readLink(b *pem.Block) (l link, err error) {
	if b.Type != pemSuccession {
		return l, fmt.Errorf("a PEM block %q", b.Type)
	}
	from, err := hex.DecodeString(b.Headers[fromHeader])
	if err != nil {
		return l, err
	}
	l.envelope = b.Bytes
	if l.from, err = notice.ParseKey(from); err != nil {
		return l, err
	}
	l.Succession, err = notice.OpenSuccession(b.Bytes, l.from)
	return l, err
}

// after returns the successions from the key with that id to the newest, and whether
// they lead there. Of an agent that does not say which key it has, all may.
func (c chain) after(id string) (envelopes [][]byte, known bool) {
	for _, l := range c {
		if known = known || id == "" || l.from.ID() == id; known {
			envelopes = append(envelopes, l.envelope)
		}
	}
	return envelopes, known
}

// Rotated says what Rotate did.
type Rotated struct {
	Number  uint64 // of the succession
	Was, Is notice.Key
	Dropped int // successions that are too old to be kept: machines that have not taken them have to join again
}

// Rotate makes another revocation key, has the one until now sign that it takes its
// place, and puts both in one file. The old key is gone then. A verifier signs with the
// new one from its next start on.
func Rotate(ca *pki.Authority, now time.Time) (r Rotated, err error) {
	err = ca.ReplaceSigner(noticeKey, func(key crypto.Signer, blocks []*pem.Block) (crypto.Signer, []*pem.Block, error) {
		old, c, err := readKey(key, blocks)
		if err != nil {
			return nil, nil, err
		}
		next, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, nil, err
		}
		l, err := c.next(old, next, now)
		if err != nil {
			return nil, nil, err
		}
		c = append(c, l)
		r = Rotated{Number: l.Number, Was: l.from, Is: l.To, Dropped: max(0, len(c)-maxSuccessions)}
		blocks = nil
		for _, l := range c[r.Dropped:] {
			blocks = append(blocks, l.block())
		}
		return next, blocks, nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return r, daemon.WithHint(errors.New("there is no revocation key yet"), "the verifier makes it at its first start")
	}
	return r, err
}

// next is the link from the key that the chain leads to.
func (c chain) next(old, next *ecdsa.PrivateKey, now time.Time) (l link, err error) {
	l.Number, l.At = 1, now.UTC().Truncate(time.Second)
	if len(c) > 0 {
		l.Number = c[len(c)-1].Number + 1
	}
	if l.from, err = notice.KeyOf(&old.PublicKey); err != nil {
		return l, err
	}
	if l.To, err = notice.KeyOf(&next.PublicKey); err != nil {
		return l, err
	}
	l.envelope, err = l.Sign(old, rand.Reader)
	return l, err
}
