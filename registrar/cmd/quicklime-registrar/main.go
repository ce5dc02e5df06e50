// Command quicklime-registrar knows which TPM is which. See package registrar.
package main

import (
	"os"

	"quicklime/registrar"
)

func main() { os.Exit(registrar.Main(os.Args[1:], os.Stdout, os.Stderr)) }
