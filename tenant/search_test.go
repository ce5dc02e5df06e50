package tenant

import (
	"strings"
	"testing"
)

// A path that nobody measured may be one that the kernel writes in another way.
func TestSearchSuggestsPaths(t *testing.T) {
	f := start(t)
	for path, want := range map[string]string{
		"miner":              "such as /usr/bin/miner\n",
		"usr/bin/miner":      "--path '/usr/bin/miner'\n",
		"/opt/my tool/miner": "--path '/opt/my_tool/miner'\n",
		"/usr/bin/":          "directories are not measured\n",
		"/usr/bin/miner":     "or one that is kept\n",
	} {
		if o := f.run(t, "search", "--path", path); o.code != 0 || !strings.HasSuffix(o.stderr, want) {
			t.Errorf("%s: %+v", path, o)
		}
	}
}
