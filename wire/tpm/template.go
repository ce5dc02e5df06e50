package tpm

import "github.com/google/go-tpm/tpm2"

// Generation is part of the templates' unique field. A primary key has no other
// rotation: another generation is another key.
const Generation = "1"

// AKTemplate is the public template of the attestation key: a primary of the
// endorsement hierarchy, so that its quotes carry true reset counters, that signs
// nothing but what the TPM itself made (restricted). ECDSA with SHA-256 on P-256.
//
// In what a key outside the endorsement and platform hierarchies signs, the TPM
// obfuscates resetCount, restartCount and firmwareVersion (TPM 2.0 reference
// code: Attest_spt.c, FillInAttestInfo).
func AKTemplate() tpm2.TPMTPublic {
	return signingTemplate(true, "quicklime ak "+Generation)
}

// TransportTemplate is the public template of the TLS client key: a primary of
// the owner hierarchy, which TPM2_Clear changes, that signs what it is given.
func TransportTemplate() tpm2.TPMTPublic {
	return signingTemplate(false, "quicklime tls "+Generation)
}

// signingTemplate separates the key from other products' keys by unique: a
// primary is derived from the hierarchy's seed and the template (TPM 2.0 Library
// part 3, section 24.1, TPM2_CreatePrimary).
func signingTemplate(restricted bool, unique string) tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type:    tpm2.TPMAlgECC,
		NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{
			FixedTPM:            true,
			FixedParent:         true,
			SensitiveDataOrigin: true,
			UserWithAuth:        true,
			NoDA:                true,
			Restricted:          restricted,
			SignEncrypt:         true,
		},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Scheme: tpm2.TPMTECCScheme{
				Scheme:  tpm2.TPMAlgECDSA,
				Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256}),
			},
			CurveID: tpm2.TPMECCNistP256,
		}),
		Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{X: tpm2.TPM2BECCParameter{Buffer: []byte(unique)}}),
	}
}
