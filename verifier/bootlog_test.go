package verifier_test

import (
	"bytes"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"quicklime/verifier/verifiertest"
	"quicklime/wire/pcr"
)

// changedBoots are boots that differ from a captured one, whose logs are true.
var changedBoots = map[string]func(log []byte) []byte{
	"command-line": func(log []byte) []byte { return verifiertest.WithCommandLine(log, "/vmlinuz init=/bin/sh") },
	"kernel": func(log []byte) []byte {
		return verifiertest.EditLog(log, func(all []verifiertest.LogEvent) []verifiertest.LogEvent {
			kernel := ""
			for _, e := range all {
				if e.PCR == 4 && e.Type == bootServicesApplication {
					kernel = string(e.Digests[pcr.SHA256]) // shim and boot loader come before
				}
			}
			for i := range all {
				if string(all[i].Digests[pcr.SHA256]) == kernel {
					all[i].Measured([]byte("the next kernel")) // which is there twice
				}
				if all[i].PCR == 9 && (bytes.HasPrefix(all[i].Data, []byte("/vmlinuz")) || bytes.HasPrefix(all[i].Data, []byte("/initrd"))) {
					all[i].Measured([]byte("the next " + string(all[i].Data)))
				}
			}
			return all
		})
	},
	"secure-boot-off": func(log []byte) []byte {
		name := []byte(strings.Join(strings.Split("SecureBoot", ""), "\x00") + "\x00")
		return verifiertest.EditLog(log, func(all []verifiertest.LogEvent) []verifiertest.LogEvent {
			for i := range all {
				if e := &all[i]; e.PCR == 7 && bytes.Contains(e.Data, name) {
					e.Data[len(e.Data)-1] = 0
					e.Measured(e.Data)
				}
			}
			return all
		})
	},
}

// bootServicesApplication is EV_EFI_BOOT_SERVICES_APPLICATION.
const bootServicesApplication = 0x80000003

// bootlog writes the log of a boot that differs from another.
func bootlog(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 || changedBoots[args[0]] == nil {
		ts.Fatalf("usage: bootlog CHANGE FROM TO")
	}
	log, err := os.ReadFile(ts.MkAbs(args[1]))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), changedBoots[args[0]](log), 0o600))
}
