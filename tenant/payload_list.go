package tenant

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"quicklime/wire/rest"
)

// payloadViews is the JSON of "payload list".
type payloadViews struct {
	Payloads   []payloadView `json:"payloads"`
	Unreadable int           `json:"unreadable,omitempty"`
}

func (p *program) payloadList() *cobra.Command {
	return &cobra.Command{
		Use:   "list [AGENT]",
		Short: "List the payloads of a machine, or of all, and what became of them",
		Long:  helpAgent,
		Args:  cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage(c, "%s takes one AGENT, or none for all", c.CommandPath())
			}
			s, err := p.connect()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return p.listAllPayloads(c.Context(), s)
			}
			id, err := s.resolve(c.Context(), args[0], reach{verifier: true})
			if err != nil {
				return err
			}
			return p.listPayloads(c.Context(), s, id)
		},
	}
}

func (p *program) listPayloads(ctx context.Context, s servers, id string) error {
	l, err := s.verifier.Payloads(ctx, id)
	if err != nil {
		return err
	}
	var views payloadViews
	if err := views.add(s.config, rest.AgentPayloads{Agent: id, PayloadList: l}, p.now()); err != nil {
		return err
	}
	return p.showPayloads(views, nil, nil)
}

// listAllPayloads lists the payloads of all machines, by their labels.
func (p *program) listAllPayloads(ctx context.Context, s servers) error {
	all, err := s.verifier.AllPayloads(ctx)
	if err != nil {
		return err
	}
	slices.SortStableFunc(all, func(a, b rest.AgentPayloads) int { return strings.Compare(a.Label, b.Label) })
	var views payloadViews
	for _, a := range all {
		if err := views.add(s.config, a, p.now()); err != nil {
			return err
		}
	}
	return p.showPayloads(views, []string{"AGENT", "LABEL"}, func(v payloadView) []cell { return plain(short(v.Agent), v.Label) })
}

// add adds the payloads of an agent.
func (l *payloadViews) add(c Config, a rest.AgentPayloads, now time.Time) error {
	l.Unreadable += a.Unreadable
	for _, one := range a.Payloads {
		v, err := c.viewPayload(a.Agent, one, now)
		if err != nil {
			return err
		}
		v.Label = a.Label
		l.Payloads = append(l.Payloads, v)
	}
	return nil
}

// showPayloads shows payloads with more columns before theirs, which of says.
func (p *program) showPayloads(l payloadViews, more []string, of func(payloadView) []cell) error {
	t := &table{heading: append(more, "NAME", "VERSION", "KIND", "SIZE", "STATE")}
	for _, v := range l.Payloads {
		var row []cell
		if of != nil {
			row = of(v)
		}
		row = append(row, plain(v.Name, fmt.Sprint(v.Version), v.Kind, byteSize(v.Size))...)
		t.add(append(row, cell{v.words(), v.stateColour()})...)
	}
	if l.Unreadable > 0 {
		p.warn("%s could not be read", counted(uint64(l.Unreadable), "payload", "payloads"))
	}
	l.Payloads = orEmpty(l.Payloads)
	return p.showTable(l, t, "no payloads")
}

func (p *program) payloadStatus() *cobra.Command {
	c := p.onPayload(&cobra.Command{
		Use:   "status AGENT NAME",
		Short: "Show what became of a payload",
		Long: `Show what became of a payload. A receipt is the machine's own word, which nobody else
can write: it is checked with what was kept when the payload was sent from here.

Exit codes: 0 the machine has it, 1 failed, 2 usage, 3 the machine does not have it, or
that cannot be checked here.`,
	}, p.statusOfPayload)
	return c
}

func (p *program) statusOfPayload(ctx context.Context, s servers, id, name string) error {
	one, err := s.verifier.Payload(ctx, id, name)
	if err != nil {
		return err
	}
	v, err := s.config.viewPayload(id, one, p.now())
	if err != nil {
		return err
	}
	if err := p.showPayload(v); err != nil {
		return err
	}
	if v.State != payloadStored || !v.Checked {
		return errOtherState
	}
	return nil
}

// showPayload shows one payload in full.
func (p *program) showPayload(v payloadView) error {
	return p.show(v, func(w io.Writer) {
		fmt.Fprintf(w, "%s\n", printable(v.words()))
		switch {
		case v.State == payloadWaiting:
			fmt.Fprintf(w, "  hint      %q says whether the machine is connected and trusted\n", name+" agent status "+short(v.Agent))
		case v.State == payloadWithdrawn && v.WithdrawnAt == nil:
			fmt.Fprintf(w, "  hint      the machine wiped it by itself, and gets it again when it is trusted\n")
		}
		fmt.Fprintf(w, "  payload   %s, version %d, %s of %s\n", v.Name, v.Version, printable(v.Kind), byteSize(v.Size))
		if c := v.Certificate; c != nil {
			fmt.Fprintf(w, "  certificate %s, until %s\n", short(c.Serial), c.NotAfter.Format(time.RFC3339))
		}
		fmt.Fprintf(w, "  agent     %s\n", short(v.Agent))
		fmt.Fprintf(w, "  added     %s\n", p.moment(v.AddedAt))
		fmt.Fprintf(w, "  expires   %s\n", v.ExpiresAt.UTC().Format("2006-01-02T15:04:05Z07:00"))
		if v.ReleasedAt != nil {
			fmt.Fprintf(w, "  released  %s, %s\n", p.moment(*v.ReleasedAt), counted(uint64(v.Releases), "time", "times"))
		}
		if v.ReceiptAt != nil {
			fmt.Fprintf(w, "  receipt   %s\n", p.moment(*v.ReceiptAt))
		}
		if v.WithdrawnAt != nil {
			fmt.Fprintf(w, "  withdrawn %s\n", p.moment(*v.WithdrawnAt))
		}
		if v.Run != nil {
			fmt.Fprintf(w, "  program   exited %d, %s\n%s\n", v.Run.Exit, p.moment(v.Run.At), printableLines(v.Run.Output))
		}
	})
}
