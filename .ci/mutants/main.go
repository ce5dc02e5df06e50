// Command mutants shows that each check which an invariant asks for is tested: it
// takes the check out of the product and runs the test that is to notice. The
// checks, their specifications and their tests are the records of list/*.txt.
//
// It runs in the root of the module. The tree is not touched.
//
// usage: mutants [-only WORD] | mutants -write
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	only := flag.String("only", "", "take only what has `WORD` as invariant, or in the name of file or test")
	write := flag.Bool("write", false, "write docs/checks.md, and run nothing")
	flag.Parse()
	if err := run(*only, *write); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(only string, write bool) error {
	l, err := readList(".ci/mutants/list")
	if err != nil {
		return err
	}
	if write {
		page, err := checksPage(".", l)
		if err != nil {
			return err
		}
		return os.WriteFile(checksFile, page, 0o644)
	}
	mutants := l.only(only)
	if len(mutants) == 0 {
		return fmt.Errorf("no record has %q", only)
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r := runner{root: ".", out: os.Stdout, timeout: testTimeout}
	fmt.Fprintf(r.out, "%d mutants; first their tests, with none of them\n", len(mutants))
	p, err := r.compile(mutants, dir)
	if err != nil {
		return err
	}
	if err := r.unchanged(p); err != nil {
		return err
	}
	return r.all(p)
}
