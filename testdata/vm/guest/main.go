// Command guest is the first process of the guest of the virtual machine tests:
// /init of its initramfs, which loads the drivers and changes to the disk, then
// /sbin/init there, which does what the driver of the tests asks for. It stands where
// an initramfs and systemd stand on a real machine and is small, so that a boot takes
// seconds under emulation.
//
//	guest                    as the first process, what the above says
//	guest at-marker FD PATH… writes a marker to FD and replaces itself by PATH
//	guest                    as any other process, says that it ran: a program to run
package main

import (
	"fmt"
	"os"
)

func main() { os.Exit(run(os.Args)) }

func run(args []string) int {
	var err error
	switch {
	case os.Getpid() == 1 && args[0] == "/init":
		err = early()
	case os.Getpid() == 1:
		err = serve()
	case len(args) > 3 && args[1] == atMarker:
		err = replaceSelf(args[2], args[3:])
	default:
		_, err = fmt.Printf("%s ran\n", args[0])
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "guest: %v\n", err)
		if os.Getpid() == 1 {
			select {} // a first process that ends is a kernel panic, which hides what was said
		}
		return 1
	}
	return 0
}
