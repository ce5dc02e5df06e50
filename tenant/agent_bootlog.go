package tenant

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"quicklime/wire/daemon"
	"quicklime/wire/rest"
)

// savedBootLog is the JSON of "agent boot-log" with --output.
type savedBootLog struct {
	File    string `json:"file"`
	Systemd string `json:"systemd_log,omitempty"` // file
	Epoch   string `json:"epoch"`
	Bytes   int    `json:"bytes"`
	Proven  []int  `json:"proven"` // PCRs
}

func (p *program) agentBootLog() *cobra.Command {
	out, systemd := "", ""
	c := p.onAgent(&cobra.Command{
		Use:   "boot-log AGENT",
		Short: "Print the log of a machine's boot, as the verifier has it",
		Long: `Print the log of a machine's boot, as the verifier has it: the input of "boot-policy
create", "explain" and "test". It is the machine's word but for the PCRs that its quote
proves, which are told.

  quicklime-tenant agent boot-log web-17 | quicklime-tenant boot-policy explain -
  quicklime-tenant agent boot-log web-17 -o web-17.log --systemd-log web-17.systemd`,
	}, &reach{verifier: true}, func(ctx context.Context, s servers, id string) error {
		if _, err := s.enrolled(ctx, id); err != nil { // else "not found" could be of the log
			return err
		}
		l, err := s.verifier.BootLog(ctx, id)
		if err != nil {
			return err
		}
		if systemd != "" {
			if err := saveSystemdLog(l, systemd); err != nil {
				return err
			}
		}
		return p.bootLogOf(l, out, systemd)
	})
	c.Flags().StringVarP(&out, "output", "o", "", "write to `FILE`, not to standard output")
	c.Flags().StringVar(&systemd, "systemd-log", "", "write systemd's own log, which the machine has sent beside it, to `FILE`")
	return c
}

// saveSystemdLog writes systemd's own log to a file.
func saveSystemdLog(l rest.BootLog, file string) error {
	if len(l.Systemd) == 0 {
		return daemon.WithHint(errors.New("the machine has sent no log of systemd's"), "it has one if it booted a unified kernel image with systemd-stub; see the agent's log, and leave --systemd-log out")
	}
	return os.WriteFile(file, l.Systemd, 0o644)
}

// bootLogOf gives a boot log out as it is: nothing else can be in it.
func (p *program) bootLogOf(l rest.BootLog, out, systemd string) error {
	if out == "" {
		if p.json {
			return p.show(l, func(io.Writer) {})
		}
		if isTerminal(p.stdout) {
			return &usageError{"a boot log is no text", `write it to a file with --output, or pipe it into "boot-policy explain -"`}
		}
		p.say("the machine's last quote proves what it says of PCRs %v, and nothing else", l.Proven)
		_, err := p.stdout.Write(l.Log)
		return err
	}
	if err := os.WriteFile(out, l.Log, 0o644); err != nil {
		return err
	}
	return p.show(savedBootLog{out, systemd, l.Epoch, len(l.Log), l.Proven}, func(w io.Writer) {
		fmt.Fprintf(w, "wrote %s: %d bytes; the machine's last quote proves what it says of PCRs %v\n", printable(out), len(l.Log), l.Proven)
	})
}
