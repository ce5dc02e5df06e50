package tenant

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"quicklime/tenant/ca/state"
)

// crlAnswer is a revocation list in JSON.
type crlAnswer struct {
	Number     uint64    `json:"number"`
	ThisUpdate time.Time `json:"this_update"`
	NextUpdate time.Time `json:"next_update"`
	File       string    `json:"file"`
}

func crlOf(d *state.Directory) crlAnswer {
	l := d.Register.List
	return crlAnswer{l.Number, l.ThisUpdate, l.NextUpdate, d.ListFile()}
}

func (c crlAnswer) String() string {
	return fmt.Sprintf("revocation list %d, good until %s, is %s", c.Number, c.NextUpdate.Format(time.RFC3339), c.File)
}

func (p *program) caCRL(place *caPlace) *cobra.Command {
	return &cobra.Command{
		Use:   "crl",
		Short: "Make the next revocation list, before the last one runs out",
		Args:  exactly(0, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			return place.within(func(d *state.Directory) error {
				if _, err := writeList(d, d.Register, p); err != nil {
					return err
				}
				return p.show(crlOf(d), func(w io.Writer) { fmt.Fprintln(w, crlOf(d)) })
			})
		},
	}
}
