package ci

import (
	"os"
	"strings"
	"testing"
)

// TestCapturesAreListed holds the table of the captures against what is there.
func TestCapturesAreListed(t *testing.T) {
	const dir = "../testdata/captures/"
	page, err := os.ReadFile(dir + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, rows, _ := strings.Cut(string(page), "\n|---|---|---|\n")
	rows, _, _ = strings.Cut(rows, "\n\n")
	named := make(map[string]bool)
	for row := range strings.Lines(rows) {
		first, _, _ := strings.Cut(strings.TrimPrefix(row, "|"), "|")
		for i, name := range strings.Split(first, "`") {
			if i%2 == 1 {
				named[name] = true
			}
		}
	}
	for _, e := range entries {
		if e.IsDir() && !named[e.Name()] {
			t.Errorf("the table of %sREADME.md lacks %s", dir, e.Name())
		}
		delete(named, e.Name())
	}
	for name := range named {
		t.Errorf("the table of %sREADME.md has %s, which is not there", dir, name)
	}
}
