package swtpm

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"quicklime/wire/pcr"
)

// Create makes a TPM below dir, which it makes if need be: seeds, the given PCR
// banks, an RSA-2048 and an ECC EK with certificates in NV, and the CA that
// issued them. dir must not hold a TPM yet.
func Create(ctx context.Context, dir string, banks []pcr.Bank) error {
	dir, err := usable(dir)
	if err != nil {
		return err
	}
	if len(banks) == 0 {
		return fmt.Errorf("TPM in %s: it needs at least one PCR bank", dir)
	}
	if held, err := filepath.Glob(filepath.Join(dir, stateDir, "*.permall")); err != nil || len(held) > 0 {
		return fmt.Errorf("there is a TPM in %s already: remove the directory, or use another", dir)
	}
	for _, sub := range []string{stateDir, caDir, etcDir, tmpDir} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	config, err := writeConfig(dir)
	if err != nil {
		return err
	}
	return setup(ctx, dir, config, banks)
}

// setup runs swtpm_setup, which runs swtpm and swtpm_localca.
func setup(ctx context.Context, dir, config string, banks []pcr.Bank) error {
	path, err := program("swtpm_setup")
	if err != nil {
		return err
	}
	var names []string
	for _, b := range banks {
		names = append(names, b.String())
	}
	cmd := exec.CommandContext(ctx, path, "--tpm2",
		"--tpmstate", filepath.Join(dir, stateDir), "--config", config,
		"--create-ek-cert", "--lock-nvram", "--rsa-keysize", "2048",
		"--pcr-banks", strings.Join(names, ","))
	cmd.Env = append(os.Environ(), "TMPDIR="+filepath.Join(dir, tmpDir))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("swtpm_setup: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// writeConfig writes the configuration of swtpm_setup and of its CA, so that
// neither reads or writes what the system or the user has.
func writeConfig(dir string) (string, error) {
	localca, err := program("swtpm_localca")
	if err != nil {
		return "", err
	}
	in := func(sub, name string) string { return filepath.Join(dir, sub, name) }
	files := map[string]string{
		"swtpm_setup.conf": "create_certs_tool = " + localca + "\n" +
			"create_certs_tool_config = " + in(etcDir, "swtpm-localca.conf") + "\n" +
			"create_certs_tool_options = " + in(etcDir, "swtpm-localca.options") + "\n",
		"swtpm-localca.conf": "statedir = " + filepath.Join(dir, caDir) + "\n" +
			"signingkey = " + in(caDir, "signkey.pem") + "\n" +
			"issuercert = " + in(caDir, "issuercert.pem") + "\n" +
			"certserial = " + in(caDir, "certserial") + "\n",
		"swtpm-localca.options": "--platform-manufacturer Quicklime\n--platform-version 1\n--platform-model development\n",
	}
	for name, text := range files {
		if err := os.WriteFile(in(etcDir, name), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	return in(etcDir, "swtpm_setup.conf"), nil
}
