// Quicklime-ima-emulator stands in for a kernel with IMA, for development.
package main

import (
	"os"

	"quicklime/agent/emulator"
)

func main() { os.Exit(emulator.Main(os.Args[1:], os.Stdout, os.Stderr)) }
