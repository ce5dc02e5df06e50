package tpmdev

import (
	"encoding/binary"
	"errors"
	"strings"

	"github.com/google/go-tpm/tpm2"

	"quicklime/wire"
)

// Manufacturer returns the TPM's manufacturer, up to four characters of the TCG
// TPM Vendor ID Registry: "INTC", "IFX", or "IBM" for swtpm.
func (d *Device) Manufacturer() (name string, err error) {
	err = d.run("ask for the manufacturer", func() error {
		v, err := d.property(tpm2.TPMPTManufacturer)
		name = strings.TrimRight(string(binary.BigEndian.AppendUint32(nil, v)), "\x00 ")
		return err
	})
	return name, err
}

// property asks for one of the TPM's fixed properties (TPM 2.0 Library part 2,
// section 6.13).
func (d *Device) property(p tpm2.TPMPT) (uint32, error) {
	rsp, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: uint32(p), PropertyCount: 1}.Execute(d.conn)
	if err != nil {
		return 0, err
	}
	list, err := rsp.CapabilityData.Data.TPMProperties()
	if err != nil {
		return 0, err
	}
	if len(list.TPMProperty) != 1 || list.TPMProperty[0].Property != p {
		return 0, errors.New("the TPM does not have the property")
	}
	return list.TPMProperty[0].Value, nil
}

// BootCounters returns resetCount and restartCount as the TPM tells them
// unsigned.
func (d *Device) BootCounters() (c wire.BootCounters, err error) {
	err = d.run("read the clock", func() error {
		rsp, err := tpm2.ReadClock{}.Execute(d.conn)
		if err == nil {
			info := rsp.CurrentTime.ClockInfo
			c.Reset, c.Restart = info.ResetCount, info.RestartCount
		}
		return err
	})
	return c, err
}
