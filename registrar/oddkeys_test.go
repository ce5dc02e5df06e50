package registrar_test

import (
	"crypto/sha256"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"quicklime/wire/tpm"
)

func sum(b []byte) []byte {
	h := sha256.Sum256(b)
	return h[:]
}

// oddEK changes the thief's RSA EK.
func (a *attempt) oddEK(change func(*tpm2.TPMTPublic)) {
	a.in.t.Helper()
	area, err := tpm2.Unmarshal[tpm2.TPMTPublic](a.ek)
	if err != nil {
		a.in.t.Fatal(err)
	}
	change(area)
	a.ek = tpm2.Marshal(*area)
}

func (a *attempt) oddAttributes(change func(*tpm2.TPMAObject)) {
	a.oddEK(func(p *tpm2.TPMTPublic) { change(&p.ObjectAttributes) })
}

func (a *attempt) oddRSA(change func(modulus []byte) []byte) {
	a.oddEK(func(p *tpm2.TPMTPublic) {
		unique, err := p.Unique.RSA()
		if err != nil {
			a.in.t.Fatal(err)
		}
		p.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: change(unique.Buffer)})
	})
}

// oddECC puts an EK of template L-2 with the coordinates in the place of the
// thief's.
func (a *attempt) oddECC(x, y []byte) {
	area := tpm2.ECCEKTemplate
	area.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{X: tpm2.TPM2BECCParameter{Buffer: x}, Y: tpm2.TPM2BECCParameter{Buffer: y}})
	a.ek = tpm2.Marshal(area)
}

func rsaParms(t *testing.T, p *tpm2.TPMTPublic) tpm2.TPMSRSAParms {
	t.Helper()
	parms, err := p.Parameters.RSADetail()
	if err != nil {
		t.Fatal(err)
	}
	return *parms
}

// primary has the thief's TPM make a primary key.
func (a *attempt) primary(hierarchy tpm2.TPMHandle, template tpm2.TPMTPublic) (tpm2.NamedHandle, []byte) {
	t := a.in.t
	t.Helper()
	rsp, err := tpm2.CreatePrimary{PrimaryHandle: hierarchy, InPublic: tpm2.New2B(template)}.Execute(a.thief.socket())
	if err != nil {
		t.Fatal(err)
	}
	return tpm2.NamedHandle{Handle: rsp.ObjectHandle, Name: rsp.Name}, rsp.OutPublic.Bytes()
}

func (a *attempt) flush(h tpm2.NamedHandle) {
	a.in.t.Helper()
	if _, err := (tpm2.FlushContext{FlushHandle: h.Handle}).Execute(a.thief.socket()); err != nil {
		a.in.t.Fatal(err)
	}
}

// otherKey makes the thief's TPM certify its transport key by another key than
// its AK.
func (a *attempt) otherKey(hierarchy tpm2.TPMHandle, template tpm2.TPMTPublic) {
	h, public := a.primary(hierarchy, template)
	a.flush(h)
	a.ak = public
	a.certify = func(qualifying []byte) ([]byte, []byte, error) {
		a.thief.Device.Close() // a TPM has room for three keys
		defer a.thief.open()
		signer, _ := a.primary(hierarchy, template)
		defer a.flush(signer)
		transport, _ := a.primary(tpm2.TPMRHOwner, tpm.TransportTemplate())
		defer a.flush(transport)
		rsp, err := tpm2.Certify{
			ObjectHandle:   tpm2.AuthHandle{Handle: transport.Handle, Name: transport.Name, Auth: tpm2.PasswordAuth(nil)},
			SignHandle:     tpm2.AuthHandle{Handle: signer.Handle, Name: signer.Name, Auth: tpm2.PasswordAuth(nil)},
			QualifyingData: tpm2.TPM2BData{Buffer: qualifying},
			InScheme:       tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull},
		}.Execute(a.thief.socket())
		if err != nil {
			return nil, nil, err
		}
		return rsp.CertifyInfo.Bytes(), tpm2.Marshal(rsp.Signature), nil
	}
}

func (a *attempt) otherAK(change func(*tpm2.TPMAObject)) {
	template := tpm.AKTemplate()
	change(&template.ObjectAttributes)
	a.otherKey(tpm2.TPMRHEndorsement, template)
}

// mintEK makes one of the many EKs that a TPM has if unique may be anything.
func (a *attempt) mintEK() {
	template := tpm2.RSAEKTemplate
	unique := make([]byte, 256)
	unique[0] = 1
	template.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: unique})
	h, public := a.primary(tpm2.TPMRHEndorsement, template)
	a.flush(h)
	a.ek = public
}
