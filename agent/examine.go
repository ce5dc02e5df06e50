package agent

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"quicklime/agent/doctor"
	"quicklime/agent/perf"
	"quicklime/agent/tpmdev"
)

// errLacking is what doctor fails with: its report has said the rest.
var errLacking = errors.New("this machine lacks something: see above what to do")

func (p *program) doctorCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine lacks, and what its IMA policy does not measure",
		Long: `Look at IMA, its policy and the TPM, and say of each what was seen and what to do
about it. Nothing is changed. Run it as root: the kernel shows its policy to nobody
else, and to root only if it was built with CONFIG_IMA_READ_POLICY.

It fails (exit code 1) if something is lacking; what is only worth a note does not.`,
		Args: noArgs,
	}
	c.Flags().BoolVar(&asJSON, "json", false, "answer with one JSON document")
	c.RunE = p.configured(func(_ context.Context, cfg Config) error {
		report := cfg.examined().Examine()
		write := report.WriteTable
		if asJSON {
			write = report.WriteJSON
		}
		if err := write(p.stdout); err != nil {
			return err
		}
		if report.Lacks() {
			return errLacking
		}
		return nil
	})
	return c
}

// examined is the machine that the configuration is about.
func (c Config) examined() doctor.Machine {
	return doctor.Machine{
		IMAList: c.IMAList, TPMDevice: c.TPMDevice,
		OpenTPM: func() (doctor.TPM, error) { return tpmdev.OpenShared(c.TPMDevice) },
		Probe: func() error {
			e, err := perf.OpenReturn(appendFunction)
			if err != nil {
				return err
			}
			return e.Close()
		},
	}
}
