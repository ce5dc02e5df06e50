package tenant

import (
	"fmt"

	"quicklime/verifier/bootpolicy"
	"quicklime/verifier/policy"
	"quicklime/verifier/policy/dsse"
	"quicklime/wire/daemon"
)

// policyKind is a kind of policies as all commands about it know it.
type policyKind struct {
	noun string // of the commands
	word string
	many string // of word
	of   dsse.Type
	max  int64 // bytes of a text

	alsoVerify string // who else verifies what is signed

	compile func(file string, text []byte) (doubtful, error)
}

// doubtful is a compiled policy that says what in it may not do what its author thinks.
type doubtful interface {
	Warnings() []string
	Unknown() []string // places of members that are no part of the format
}

var (
	runtimeKind = policyKind{
		noun: "policy", word: "policy", many: "policies", of: dsse.RuntimePolicy, max: policy.MaxPolicy,
		alsoVerify: ", which\nKeylime's tools verify, too, if the key is ECDSA",
		compile:    func(file string, text []byte) (doubtful, error) { return compile(file, text) },
	}
	bootKind = policyKind{
		noun: "boot-policy", word: "boot policy", many: "boot policies", of: dsse.BootPolicy, max: bootpolicy.MaxReference,
		compile: func(file string, text []byte) (doubtful, error) { return compileBoot(file, text) },
	}
)

// command is one of the commands about this kind, as a hint names it.
func (k policyKind) command(rest string) string { return name + " " + k.noun + " " + rest }

// maxSigned bounds a file with a policy that may be signed, in bytes.
func (k policyKind) maxSigned() int64 { return k.max/3*4 + dsse.MaxAround }

// wantedInside refuses a signed policy where the policy in it is wanted.
func wantedInside(noun, file string) error {
	return daemon.WithHint(fmt.Errorf("%s is a signed policy, and what is wanted is the policy in it", file), "take it out with %q", name+" "+noun+" verify FILE --key KEY -o OUT")
}

// malformed says of a text that is no envelope whether it means to be one.
func (k policyKind) malformed(file string, text []byte, err error) error {
	err = fmt.Errorf("%s: %w", file, err)
	if dsse.Enveloped(text) {
		return daemon.WithHint(err, "it was changed or cut, or is of another kind: get it again, or sign the policy anew with %q", k.command("sign"))
	}
	return daemon.WithHint(err, "sign it with %q", k.command("sign"))
}

// readPolicy reads and compiles the policy in a file, signed or not, and tells what
// in it does not do what its author may think. It returns the file's text.
func (p *program) readPolicy(k policyKind, file string) ([]byte, error) {
	text, err := p.readFile(file, k.maxSigned())
	if err != nil {
		return nil, err
	}
	inside := text
	if dsse.Enveloped(text) {
		e, err := dsse.Parse(k.of, text)
		if err != nil {
			return nil, k.malformed(file, text, err)
		}
		inside = e.Unverified() // that it is signed as it must be is the verifier's to say
	}
	return text, p.lint(k, file, inside)
}

// saysNothing is what there is to know of an empty runtime policy.
const saysNothing = "says nothing: a machine under it is not evaluated"

// lint compiles a policy and tells what in it does not do what its author may think.
func (p *program) lint(k policyKind, file string, text []byte) error {
	compiled, err := k.compile(file, text)
	if err != nil {
		return err
	}
	if r, ok := compiled.(*policy.Policy); ok && r.Empty() {
		p.warn("%s %s", file, saysNothing)
	}
	for _, w := range compiled.Warnings() {
		p.warn("%s: %s", file, w)
	}
	for _, place := range compiled.Unknown() {
		p.warn("%s: %s is no part of the format; it is kept and means nothing", file, place)
	}
	return nil
}
