package tenant

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"quicklime/wire/rest"
)

func (p *program) events() *cobra.Command {
	var follow bool
	after := sequence(-1)
	c := &cobra.Command{
		Use:   "events",
		Short: "Show when machines lost and regained trust, and what others did not hear of it",
		Long: `events shows what happened to the trust of machines, as it is told to webhooks and
to other agents: lost, regained, stale, raised (the severity of what stands) and removed.

With --follow it goes on with what happens, until it is interrupted. With --json it
then writes one event a line.`,
	}
	p.noun(c, p.eventsDead(), p.eventsRetry(), p.eventsDrop())
	noVerb := c.RunE
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what happens")
	c.Flags().Var(&after, "after", "begin after this `SEQUENCE` number; 0: with the oldest that is kept")
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return noVerb(c, args)
		}
		s, err := p.connect()
		if err != nil {
			return err
		}
		if follow {
			return p.followEvents(c.Context(), s, int64(after))
		}
		l, err := s.eventsFrom(c.Context(), int64(after))
		if err != nil {
			return err
		}
		l.Events = orEmpty(l.Events)
		return p.showTable(l, eventTable(l.Events), "nothing has happened")
	}
	return c
}

// eventsFrom returns the events after a sequence number, or the newest if it is
// negative.
func (s servers) eventsFrom(ctx context.Context, after int64) (rest.EventList, error) {
	if after < 0 {
		return s.verifier.LastEvents(ctx)
	}
	return s.verifier.EventsAfter(ctx, after)
}

func eventTable(events []rest.Event) *table {
	t := &table{heading: []string{"SEQ", "TIME", "KIND", "AGENT", "LABEL", "WAS", "IS", "SEVERITY", "FAILURE", "WHAT"}}
	for _, e := range events {
		cells := plain(fmt.Sprint(e.Sequence), e.At.UTC().Format(time.RFC3339), string(e.Kind), short(e.Agent), e.Label, string(e.Was))
		cells = append(cells, stateCell(string(e.Trust)))
		t.add(append(cells, plain(e.Severity, string(e.FailureID()), eventWords(e))...)...)
	}
	return t
}

// eventWords says what a failure is about.
func eventWords(e rest.Event) string {
	switch {
	case e.Failure == nil:
		return ""
	case e.Failure.Path != "":
		return e.Failure.Path
	}
	return e.Failure.Message
}

// followEvents shows events as they happen until it is interrupted.
func (p *program) followEvents(ctx context.Context, s servers, after int64) error {
	l, err := s.eventsFrom(ctx, after)
	for err == nil {
		if err := p.writeEvents(l.Events); err != nil {
			return err
		}
		after = min(max(after, 0), l.Last) // a database that was restored is behind
		if n := len(l.Events); n > 0 {
			after = l.Events[n-1].Sequence
		}
		l, err = p.nextEvents(ctx, s, after)
	}
	if errors.Is(err, context.Canceled) {
		return nil // the operator has seen enough
	}
	return err
}

// nextEvents returns the events after a sequence number, or none after a while. It
// waits for a verifier that cannot be reached.
func (p *program) nextEvents(ctx context.Context, s servers, after int64) (rest.EventList, error) {
	l, err := s.verifier.PollEvents(ctx, after)
	gone := unreachable(err)
	if gone == nil {
		return l, err
	}
	p.say("verifier unreachable: %s: %v; retrying", gone.URL, gone.Err)
	for unreachable(err) != nil {
		select {
		case <-ctx.Done():
			return l, ctx.Err()
		case <-time.After(p.pause):
		}
		l, err = s.verifier.EventsAfter(ctx, after)
	}
	if err == nil {
		p.say("the verifier answers again")
	}
	return l, err
}

// writeEvents writes a line for each.
func (p *program) writeEvents(events []rest.Event) error {
	for _, e := range events {
		if p.json {
			if err := p.writeJSONLine(p.stdout, e); err != nil {
				return err
			}
			continue
		}
		line := fmt.Sprintf("%d  %s  %s  %s %s: %s, was %s", e.Sequence, e.At.UTC().Format(time.RFC3339), e.Kind, short(e.Agent), e.Label, e.Trust, e.Was)
		if e.Failure != nil {
			line += fmt.Sprintf("; %s (%s): %s", e.FailureID(), e.Severity, eventWords(e))
		}
		if _, err := fmt.Fprintln(p.stdout, printable(line)); err != nil {
			return err
		}
	}
	return nil
}

// deadLetterFlags are which dead letters a command is about.
func deadLetterFlags(c *cobra.Command, q *rest.DeadLetterRequest, all *bool) {
	c.Flags().StringVar(&q.Webhook, "webhook", "", "those of the webhook `NAME`")
	c.Flags().StringVar(&q.Event, "event", "", "the event with this `ID`")
	c.Flags().BoolVar(all, "all", false, "all of them")
	c.PreRunE = func(c *cobra.Command, _ []string) error {
		if *all == (q.Webhook != "" || q.Event != "") {
			return usage(c, "%s takes --webhook, --event or both, or else --all", c.CommandPath())
		}
		return nil
	}
}

func (p *program) eventsDead() *cobra.Command {
	return &cobra.Command{
		Use:   "dead",
		Short: "Show the events that a webhook did not take and that are not sent any more",
		Args:  exactly(0, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := p.connect()
			if err != nil {
				return err
			}
			l, err := s.verifier.DeadLetters(c.Context())
			if err != nil {
				return err
			}
			return p.showDeadLetters(l)
		},
	}
}

func (p *program) showDeadLetters(l rest.DeadLetterList) error {
	if l.Waiting > 0 {
		p.say("%s still being tried; the verifier's log says why", counted(l.Waiting, "delivery is", "deliveries are"))
	}
	if l.More {
		p.warn("there are more than these %d", len(l.DeadLetters))
	}
	l.DeadLetters = orEmpty(l.DeadLetters)
	t := &table{heading: []string{"WEBHOOK", "EVENT", "SEQ", "KIND", "AGENT", "GIVEN UP", "TRIES", "PROBLEM"}}
	for _, d := range l.DeadLetters {
		t.add(plain(d.Webhook, d.Event.ID, fmt.Sprint(d.Event.Sequence), string(d.Event.Kind), short(d.Event.Agent), p.ago(d.DeadAt), fmt.Sprint(d.Tries), d.Problem)...)
	}
	return p.showTable(l, t, "there are no dead letters")
}

func (p *program) eventsRetry() *cobra.Command {
	return p.changeDeadLetters(&cobra.Command{
		Use:   "retry --webhook NAME | --event ID | --all",
		Short: "Send dead letters again, now",
	}, "sent again", func(ctx context.Context, s servers, q rest.DeadLetterRequest) (int, error) {
		return s.verifier.RetryDeadLetters(ctx, q)
	})
}

func (p *program) eventsDrop() *cobra.Command {
	return p.changeDeadLetters(&cobra.Command{
		Use:   "drop --webhook NAME | --event ID | --all",
		Short: "Forget dead letters; their events stay",
	}, "forgotten", func(ctx context.Context, s servers, q rest.DeadLetterRequest) (int, error) {
		return s.verifier.DropDeadLetters(ctx, q)
	})
}

// changeDeadLetters completes a command that does something with dead letters.
func (p *program) changeDeadLetters(c *cobra.Command, done string, do func(context.Context, servers, rest.DeadLetterRequest) (int, error)) *cobra.Command {
	var q rest.DeadLetterRequest
	var all bool
	deadLetterFlags(c, &q, &all)
	c.Args = exactly(0, "no argument")
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := p.connect()
		if err != nil {
			return err
		}
		n, err := do(c.Context(), s, q)
		if err != nil {
			return err
		}
		return p.show(rest.DeadLetterCount{Count: n}, func(w io.Writer) {
			fmt.Fprintf(w, "%s %s\n", counted(n, "dead letter is", "dead letters are"), done)
		})
	}
	return c
}
