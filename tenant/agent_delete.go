package tenant

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"quicklime/wire/rest"
)

// deleted is the JSON of "agent delete".
type deleted struct {
	ID        string `json:"id"`
	Enrolment bool   `json:"enrolment"` // an enrolment was ended
	Machine   bool   `json:"machine"`   // the registrar forgot the machine
}

func (p *program) agentDelete() *cobra.Command {
	var consent confirmation
	needs := &reach{verifier: true}
	c := p.onAgent(&cobra.Command{
		Use:   "delete AGENT",
		Short: "End a machine's enrolment",
		Long: `End a machine's enrolment: the verifier forgets it and what it attested. With
--registrar the registrar forgets it too, and it needs a new join token to come
back. The machine is told nothing, and keeps its payloads until it reboots: withdraw
them first.`,
	}, needs, func(ctx context.Context, s servers, id string) error {
		p.warnOfPayloads(ctx, s, id, consent.yes)
		if err := consent.ask(p, "deleting agent "+short(id)); err != nil {
			return err
		}
		return p.delete(ctx, s, id, needs.registrar)
	})
	consent.flag(c)
	c.Flags().BoolVar(&needs.registrar, "registrar", false, "make the registrar forget the machine as well")
	return c
}

// warnOfPayloads says that a machine has payloads, of which nobody knows any more when
// its enrolment has ended: before that is agreed to, what to do about it. If it cannot
// be found out nothing is said: the machine may have to be deleted all the same.
func (p *program) warnOfPayloads(ctx context.Context, s servers, id string, agreed bool) {
	l, err := s.verifier.Payloads(ctx, id)
	if err != nil {
		return
	}
	there := slices.DeleteFunc(l.Payloads, func(one rest.Payload) bool { return one.Releases == 0 || one.WithdrawnAt != nil })
	switch n := counted(len(there), "payload", "payloads"); {
	case len(there) == 0:
	case agreed:
		p.warn("it may keep %s until it reboots, and cannot be told to wipe them any more", n)
	default:
		p.warn("it may keep %s until it reboots; %q has it wipe one while it is enrolled", n, name+" payload delete --wait "+short(id)+" NAME")
	}
}

// delete ends the enrolment first: the other order would leave an agent that is
// watched and unknown. A part that is gone already is no error if the other is
// there.
func (p *program) delete(ctx context.Context, s servers, id string, registrar bool) error {
	d := deleted{ID: id}
	err := s.verifier.Delete(ctx, id)
	d.Enrolment = err == nil
	switch absent := isCode(err, rest.CodeNotFound); {
	case absent && !registrar:
		return s.notEnrolled(ctx, id)
	case err != nil && !absent:
		return err
	}
	if registrar {
		err := s.registrar.DeleteMachine(ctx, id)
		d.Machine = err == nil
		if err != nil && !(d.Enrolment && isCode(err, rest.CodeNotFound)) {
			return d.half(err)
		}
	}
	return p.show(d, func(w io.Writer) {
		if d.Enrolment {
			fmt.Fprintf(w, "ended the enrolment of %s\n", short(id))
		}
		if d.Machine {
			fmt.Fprintf(w, "the registrar forgot %s\n", short(id))
		}
	})
}

// half explains an error that came after the enrolment was ended.
func (d deleted) half(err error) error {
	if !d.Enrolment {
		return err
	}
	return fmt.Errorf("the enrolment of %s is ended, but the registrar still knows the machine: %w", short(d.ID), err)
}
