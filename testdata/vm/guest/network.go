package main

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// The guest's place in QEMU's network, in which the host is 10.0.2.2: what QEMU's
// DHCP server would say.
var (
	address = netip.MustParseAddr("10.0.2.15")
	netmask = netip.MustParseAddr("255.255.255.0")
)

const card = "eth0" // net.ifnames is for udev, which is not there

// network brings loopback and the card up.
func network() error {
	if err := awaitFile("/sys/class/net/" + card); err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return errors.Join(
		setAddress(fd, unix.SIOCSIFADDR, address), setAddress(fd, unix.SIOCSIFNETMASK, netmask),
		up(fd, "lo"), up(fd, card))
}

func setAddress(fd int, request uint, a netip.Addr) error {
	r, err := unix.NewIfreq(card)
	if err != nil {
		return err
	}
	if err := r.SetInet4Addr(a.AsSlice()); err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, request, r); err != nil {
		return fmt.Errorf("%s: %v: %w", card, a, err)
	}
	return nil
}

func up(fd int, name string) error {
	r, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
