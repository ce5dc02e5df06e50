package tenant

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"quicklime/wire/rest"
)

func (p *program) search() *cobra.Command {
	var path, digest string
	c := &cobra.Command{
		Use:   "search --path P | --digest D",
		Short: "Show which machines have measured a file, when, and in which boot",
		Long: `search looks through the certified measurement lists of all machines, those of their
last boots included: which of them ever ran this file?

The path is the whole one, as the kernel wrote it, with _ in place of a space. Without a
slash at its beginning it is the name of an entry that is no file: boot_aggregate, or a
keyring. The digest is "sha256:…" or the digits alone. What a violation says of a file is
not looked at: nothing proves it.`,
		Args: exactly(0, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			if (path == "") == (digest == "") {
				return usage(c, "search takes --path or --digest, one of the two")
			}
			s, err := p.connect()
			if err != nil {
				return err
			}
			l, err := s.verifier.SearchMeasurements(c.Context(), path, digest)
			if err != nil {
				return err
			}
			if err := p.showMeasurements(l); err != nil {
				return err
			}
			if len(l.Measurements) == 0 {
				p.suggestPath(path)
			}
			return nil
		},
	}
	c.Flags().StringVar(&path, "path", "", "look for this `PATH`")
	c.Flags().StringVar(&digest, "digest", "", "look for files, and buffers, with this `DIGEST`")
	return c
}

// suggestPath says how the kernel may have written a path that was not found.
func (p *program) suggestPath(path string) {
	switch {
	case strings.Contains(path, " "):
		p.say("the kernel writes _ for a space: --path '%s'", strings.ReplaceAll(path, " ", "_"))
	case strings.Contains(path, "/") && path[0] != '/':
		p.say("files are found by their whole path, which begins with /: --path '/%s'", path)
	case path != "" && path[0] != '/':
		p.say("files are found by their whole path, such as /usr/bin/%s", path)
	case len(path) > 1 && strings.HasSuffix(path, "/"):
		p.say("files are found by their whole path, directories are not measured")
	}
}

func (p *program) showMeasurements(l rest.MeasurementList) error {
	if l.More {
		p.warn("there are more than these %d", len(l.Measurements))
	}
	if l.Unreadable > 0 {
		p.warn("%s cannot be read, in which there may be more; the verifier's log names them", counted(l.Unreadable, "record", "records"))
	}
	l.Measurements = orEmpty(l.Measurements)
	t := &table{heading: []string{"AGENT", "LABEL", "BOOT", "ENTRY", "CERTIFIED", "DIGEST", "PATH"}}
	for _, m := range l.Measurements {
		boot := "past, " + short(m.Epoch)
		if m.Current {
			boot = "current"
		}
		t.add(plain(short(m.Agent), m.Label, boot, fmt.Sprint(m.Entry), p.ago(m.At), m.Digest, m.Path)...)
	}
	return p.showTable(l, t, "no machine has measured it, in this boot or one that is kept")
}
