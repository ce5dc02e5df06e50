package emulator

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"quicklime/agent/swtpm"
	"quicklime/wire/pcr"
)

func tpmCommand() *cobra.Command {
	c := group("tpm", "Make and run a software TPM", "")
	c.AddCommand(tpmCreateCommand(), tpmRunCommand())
	return c
}

func tpmCreateCommand() *cobra.Command {
	var dir string
	var banks []string
	c := &cobra.Command{
		Use:   "create --dir DIR",
		Short: "Make a software TPM, and the CA that certifies its EK",
		Args:  cobra.NoArgs,
		RunE: failing(func(c *cobra.Command, _ []string) error {
			var allocate []pcr.Bank
			for _, name := range banks {
				b, err := pcr.ParseBank(name)
				if err != nil {
					return err
				}
				allocate = append(allocate, b)
			}
			if err := swtpm.Create(c.Context(), dir, allocate); err != nil {
				return err
			}
			for _, f := range swtpm.Anchors(dir) {
				fmt.Fprintln(c.OutOrStdout(), f)
			}
			fmt.Fprintln(c.ErrOrStderr(), "above: the certificates of the CA that certified the EK")
			return nil
		}),
	}
	dirFlag(c, &dir)
	c.Flags().StringSliceVar(&banks, "banks", []string{"sha1", "sha256"}, "PCR banks to allocate")
	return c
}

func tpmRunCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "run --dir DIR",
		Short: "Power a software TPM on, print its device name, and power it off when told to end",
		Args:  cobra.NoArgs,
		RunE: failing(func(c *cobra.Command, _ []string) error {
			t, err := swtpm.Start(c.Context(), dir)
			if err != nil {
				return err
			}
			fmt.Fprintln(c.ErrOrStderr(), warning)
			fmt.Fprintln(c.OutOrStdout(), t.Device())
			select {
			case <-t.Ended():
				return errors.Join(errors.New("the TPM ended by itself"), t.Stop())
			case <-c.Context().Done():
				return t.Stop()
			}
		}),
	}
	dirFlag(c, &dir)
	return c
}

func dirFlag(c *cobra.Command, dir *string) {
	c.Flags().StringVar(dir, "dir", "", "directory of the software TPM")
	if err := c.MarkFlagRequired("dir"); err != nil {
		panic(err) // the flag is defined above
	}
}
