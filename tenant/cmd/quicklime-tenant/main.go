// Command quicklime-tenant is how a person drives Quicklime: it enrols machines,
// shows how they fare and keeps the policies they are judged under. See package
// quicklime/tenant.
package main

import (
	"os"

	"quicklime/tenant"
)

func main() { os.Exit(tenant.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
