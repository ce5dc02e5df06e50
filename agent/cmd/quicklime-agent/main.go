// Quicklime-agent proves to a verifier what its machine has measured. See package
// quicklime/agent.
package main

import (
	"os"

	"quicklime/agent"
)

func main() { os.Exit(agent.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
