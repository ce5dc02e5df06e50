package registrar

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"quicklime/registrar/ekcert"
)

// maxAnchors bounds a file of anchors: all TPM vendors' CAs together have less
// than a hundred certificates of some 2 KiB.
const maxAnchors = 1 << 20 // bytes

// anchorFiles are the names that a certificate's file may end in.
var anchorFiles = []string{".pem", ".crt", ".cer", ".der"}

// readAnchors reads every certificate file in dir. A directory that does not
// exist holds none.
func readAnchors(dir string, log *slog.Logger) (a ekcert.Anchors, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return a, fmt.Errorf("EK trust anchors: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if !slices.Contains(anchorFiles, strings.ToLower(filepath.Ext(path))) {
			log.Warn("not read as an EK trust anchor: its name ends in none of "+strings.Join(anchorFiles, " "), "file", path)
			continue
		}
		if err := addAnchors(&a, path); err != nil {
			return ekcert.Anchors{}, fmt.Errorf("EK trust anchor %s: %w", path, err)
		}
	}
	if a.Len() == 0 {
		log.Warn("there are no EK trust anchors: no EK certificate will be trusted; put the TPM vendors' CA certificates there", "dir", dir)
	}
	return a, nil
}

func addAnchors(a *ekcert.Anchors, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxAnchors+1))
	if err != nil {
		return err
	}
	if len(b) > maxAnchors {
		return fmt.Errorf("it is larger than %d bytes", maxAnchors)
	}
	return a.Add(b)
}
