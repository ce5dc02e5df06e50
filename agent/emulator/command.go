package emulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"quicklime/wire/daemon"
)

const warning = "FOR DEVELOPMENT ONLY: this machine's TPM and measurements are emulated and prove nothing."

// command makes the program's commands.
func command(stdout, stderr io.Writer) *cobra.Command {
	root := group(program, "Stand in for a kernel with IMA, for development ONLY", `The IMA emulator stands in for firmware and kernel on machines without IMA.

  ****  FOR DEVELOPMENT ONLY. It measures what it is told to measure, and a  ****
  ****  software TPM proves nothing about a machine. Never let a verifier    ****
  ****  that anybody relies on trust a machine that runs it.                 ****

A machine is a TPM and a directory that holds what the kernel would show below
/sys/kernel/security. "boot" brings both into the state of a captured machine;
"measure", "exec" and "watch" then add to them as the kernel would: the entry is
appended to the list first, and extended into PCR 10 after.`)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(tpmCommand(), bootCommand(), measureCommand(), execCommand(), watchCommand())
	return root
}

// group is a command that has only subcommands.
func group(use, short, long string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Long: long, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return fmt.Errorf("%s: name one of its commands", c.CommandPath())
		}}
}

// failing marks what do returns as a failure: the command was understood.
func failing(do func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		return daemon.Failed(do(c, args))
	}
}

// onMachine gives c the flags of a machine, and opens it for do.
func onMachine(c *cobra.Command, do func(*cobra.Command, []string, *Machine) error) *cobra.Command {
	var cfg Config
	c.Flags().StringVar(&cfg.Device, "tpm", "", "the TPM: unix:PATH as \"tpm run\" prints it")
	c.Flags().StringVar(&cfg.Root, "root", "", "directory for what the kernel would show below /sys/kernel/security")
	c.Flags().BoolVar(&cfg.AllowHardware, "allow-hardware-tpm", false, "do it to a real TPM: it says nothing true until the machine reboots")
	for _, name := range []string{"tpm", "root"} {
		if err := c.MarkFlagRequired(name); err != nil {
			panic(err) // the flag is defined above
		}
	}
	c.RunE = failing(func(c *cobra.Command, args []string) error {
		m, err := Open(cfg)
		if err != nil {
			return err
		}
		return errors.Join(do(c, args, m), m.Close())
	})
	return c
}

func bootCommand() *cobra.Command {
	var logFile, listFile string
	var asJSON bool
	c := onMachine(&cobra.Command{
		Use:   "boot --tpm DEVICE --root DIR",
		Short: "Bring a machine whose TPM was just started into the state of a captured one",
		Args:  cobra.NoArgs,
	}, func(c *cobra.Command, _ []string, m *Machine) (err error) {
		var captured Captured
		if logFile != "" {
			if captured.Log, err = ReadBootLog(logFile); err != nil {
				return err
			}
		}
		if listFile != "" {
			if captured.List, err = ReadList(listFile); err != nil {
				return err
			}
		}
		done, err := m.Boot(c.Context(), captured, progress(c.ErrOrStderr()))
		if err != nil {
			return err
		}
		if asJSON {
			return json.NewEncoder(c.OutOrStdout()).Encode(done)
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "booted: %d firmware events, %d measurements, %v\n", done.Events, done.Entries, done.Duration.Round(time.Millisecond))
		return err
	})
	c.Flags().StringVar(&logFile, "boot-log", "", "captured binary_bios_measurements; without it PCRs 0-9 stay as they are")
	c.Flags().StringVar(&listFile, "list", "", "captured binary_runtime_measurements, perhaps .gz; without it the list has only boot_aggregate")
	c.Flags().BoolVar(&asJSON, "json", false, "say what was done as JSON")
	return c
}

func measureCommand() *cobra.Command {
	var as string
	var asJSON bool
	c := onMachine(&cobra.Command{
		Use:   "measure --tpm DEVICE --root DIR FILE...",
		Short: "Measure files, as the kernel does when they are opened or run",
		Args:  argsFor(&as),
	}, func(c *cobra.Command, files []string, m *Machine) error {
		for _, f := range files {
			got, err := m.Measure(c.Context(), f, as)
			if err != nil {
				return err
			}
			if err := show(c.OutOrStdout(), got, asJSON); err != nil {
				return err
			}
		}
		return nil
	})
	outputFlags(c, &asJSON)
	c.Flags().StringVar(&as, "as", "", "record the one file under this path")
	return c
}

// argsFor wants at least one argument, and not more if as is given.
func argsFor(as *string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if *as != "" {
			return cobra.ExactArgs(1)(c, args)
		}
		return cobra.MinimumNArgs(1)(c, args)
	}
}

func execCommand() *cobra.Command {
	var as string
	var asJSON bool
	c := onMachine(&cobra.Command{
		Use:   "exec --tpm DEVICE --root DIR -- COMMAND [ARGUMENT...]",
		Short: "Measure a program and run it; what is measured goes to standard error",
		Args:  cobra.MinimumNArgs(1),
	}, func(c *cobra.Command, args []string, m *Machine) error {
		path, err := exec.LookPath(args[0])
		if err != nil {
			return err
		}
		got, err := m.Measure(c.Context(), path, as)
		if err != nil {
			return err
		}
		if err := show(c.ErrOrStderr(), got, asJSON); err != nil {
			return err
		}
		child := exec.CommandContext(c.Context(), path, args[1:]...)
		child.Stdin, child.Stdout, child.Stderr = os.Stdin, c.OutOrStdout(), c.ErrOrStderr()
		return child.Run()
	})
	outputFlags(c, &asJSON)
	c.Flags().StringVar(&as, "as", "", "record the program under this path")
	return c
}

func watchCommand() *cobra.Command {
	var asJSON bool
	c := onMachine(&cobra.Command{
		Use:   "watch --tpm DEVICE --root DIR DIRECTORY",
		Short: "Measure every file that is dropped into a directory, until told to end",
		Args:  cobra.ExactArgs(1),
	}, func(c *cobra.Command, args []string, m *Machine) error {
		ready := func() { fmt.Fprintf(c.ErrOrStderr(), "watching %s\n", args[0]) }
		return m.Watch(c.Context(), args[0], ready, func(got Measurement, err error) {
			if err == nil {
				err = show(c.OutOrStdout(), got, asJSON)
			}
			if err != nil {
				daemon.Complain(c.ErrOrStderr(), program, err)
			}
		})
	})
	outputFlags(c, &asJSON)
	return c
}

func outputFlags(c *cobra.Command, asJSON *bool) {
	c.Flags().BoolVar(asJSON, "json", false, "show each measurement as a line of JSON, with the time it was appended")
}
