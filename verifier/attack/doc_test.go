// Package attack is where the verifier is lied to. A machine that was trusted a
// moment ago turns on it: its list, its quotes, its sessions and its boots are
// made from the real agent's parts and a real TPM, changed in one place, and sent
// over QUIC to a registrar and a verifier that run as they do in service. What
// counts is what the operator is told afterwards, over the REST API.
//
// Every attack is a row of data: its name, what refuses it, and what the operator
// sees, which is what the test checks and what docs/threat-model.md shows. A
// rejection must also say what the row says that refuses it. There is nothing here
// but tests.
package attack_test
