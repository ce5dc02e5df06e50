// Command quicklime-verifier judges the evidence that agents push.
package main

import (
	"os"

	"quicklime/verifier"
)

func main() { os.Exit(verifier.Main(os.Args[1:], os.Stdout, os.Stderr)) }
