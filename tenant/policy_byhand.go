package tenant

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"quicklime/tenant/refvalues"
	"quicklime/wire/pcr"
)

// byHand makes values of the exclusions, digests and files that the operator
// named.
func (p *program) byHand(r recipe) (*refvalues.Values, error) {
	v := new(refvalues.Values)
	v.Exclude(r.excludes...)
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
	return v, nil
}

// addDigest allows what PATH=DIGEST says. The path may hold "=", a digest cannot.
func addDigest(v *refvalues.Values, arg string) error {
	i := strings.LastIndexByte(arg, '=')
	if i < 1 {
		return &usageError{fmt.Sprintf("--add-file %q is not PATH=DIGEST", arg), "for example --add-file /usr/bin/tool=sha256:9f86…"}
	}
	bank, digest, err := parseDigest(arg[i+1:])
	if err != nil {
		return withHint(fmt.Errorf("--add-file %s: %w", arg[:i], err), "write the digest as sha256:hex, or as hex alone")
	}
	return v.Allow(arg[:i], bank, digest)
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
	return v.Allow(path, pcr.SHA256, h.Sum(nil))
}
