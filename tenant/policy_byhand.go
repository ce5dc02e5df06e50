package tenant

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"quicklime/ima/digsig"
	"quicklime/tenant/refvalues"
	"quicklime/verifier/policy"
	"quicklime/wire/daemon"
	"quicklime/wire/pcr"
)

// byHand makes values of the exclusions, digests, files and keys that the operator
// named.
func (p *program) byHand(r recipe) (*refvalues.Values, error) {
	v := new(refvalues.Values)
	v.Exclude(r.excludes...)
	v.SetViolations(policy.Violations(r.accept))
	for _, d := range r.digests {
		if err := addDigest(v, d); err != nil {
			return nil, err
		}
	}
	for _, f := range r.files {
		if err := addFile(v, f); err != nil {
			return nil, err
		}
	}
	for _, f := range r.keys {
		if err := p.addKey(v, f); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// addKey has the key in a file vouch for files.
func (p *program) addKey(v *refvalues.Values, file string) error {
	b, err := p.readFile(file, digsig.MaxKey)
	if err != nil {
		return err
	}
	key, err := digsig.ParseKey(b)
	if err != nil {
		return daemon.WithHint(fmt.Errorf("--verification-key %s: %w", file, err), "it takes the certificate or public key that belongs to what \"evmctl ima_sign\" signed with, RSA of 2048 to 4096 bits or ECDSA")
	}
	v.Trust(key)
	return nil
}

// addDigest allows what PATH=DIGEST says. The path may hold "=", a digest cannot.
func addDigest(v *refvalues.Values, arg string) error {
	i := strings.LastIndexByte(arg, '=')
	if i < 1 {
		return &usageError{fmt.Sprintf("--add-file %q is not PATH=DIGEST", arg), "for example --add-file /usr/bin/tool=sha256:9f86…"}
	}
	path, err := measuredPath(arg[:i])
	if err != nil {
		return err
	}
	bank, digest, err := parseDigest(arg[i+1:])
	if err != nil {
		return daemon.WithHint(fmt.Errorf("--add-file %s: %w", arg[:i], err), "write the digest as sha256:hex, or as hex alone")
	}
	return unlistable("--add-file", path, v.Allow(path, bank, digest))
}

// measuredPath reads a path as a measurement list has it: absolute, or that of
// the boot aggregate. One in Go's quoting, as a path is shown that a terminal
// would not print, is what it stands for.
func measuredPath(s string) (string, error) {
	path := s
	if strings.HasPrefix(s, `"`) {
		unquoted, err := strconv.Unquote(s)
		if err != nil {
			return "", &usageError{fmt.Sprintf("--add-file %s: the path begins with a double quote and is not quoted as Go does it", s),
				"give the path as \"agent status\" shows it, in single quotes for the shell"}
		}
		path = unquoted
	}
	if !strings.HasPrefix(path, "/") && path != policy.BootAggregate {
		return "", &usageError{fmt.Sprintf("--add-file %q: the path does not begin with \"/\"", path),
			"the kernel measures a file under its absolute path"}
	}
	return path, nil
}

// unlistable says which file it is that no policy can list, and what can be done
// about it. A nil err stays nil.
func unlistable(option, path string, err error) error {
	if err == nil {
		return nil
	}
	return daemon.WithHint(fmt.Errorf("%s %q: %w", option, path, err), "an exclusion can let it pass unjudged: --exclude")
}

// parseDigest reads "sha256:hex", or hex whose length tells the algorithm.
func parseDigest(s string) (pcr.Bank, []byte, error) {
	algorithm, digits, named := strings.Cut(s, ":")
	if !named {
		algorithm, digits = "", s
	}
	digest, err := hex.DecodeString(digits)
	if err != nil {
		return 0, nil, fmt.Errorf("%q is not hexadecimal", digits)
	}
	for _, b := range pcr.Banks {
		if b.Size() == len(digest) && (!named || b.String() == algorithm) {
			return b, digest, nil
		}
	}
	return 0, nil, fmt.Errorf("%q is no digest of sha1, sha256, sha384 or sha512", s)
}

// addFile allows a file of this machine under its absolute path, as the kernel
// measures it: with symbolic links resolved.
func addFile(v *refvalues.Values, file string) error {
	path, err := filepath.Abs(file)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return unlistable("--add", path, v.Allow(path, pcr.SHA256, h.Sum(nil)))
}
