// Command quicklime-demo tells the story of Quicklime with its real programs.
package main

import (
	"os"

	"quicklime/agent/demo"
)

func main() { os.Exit(demo.Main(os.Args[1:], os.Stdout, os.Stderr)) }
