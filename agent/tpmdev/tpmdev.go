// Package tpmdev is the agent's way to its TPM 2.0: three keys, quotes,
// credential activation and PCRs.
//
// # Devices
//
// A device is named
//
//	/dev/tpmrm0   a TPM behind the kernel's resource manager
//	unix:PATH     a socket on which swtpm serves TPM commands
//
// # Keys
//
// None is stored: each is a primary, made again from its hierarchy's seed and a
// fixed template, and is the same key every time until that seed changes.
//
//	EK         endorsement hierarchy, Template L-1: RSA 2048 or Template L-2: ECC
//	           NIST P256 of the TCG EK Credential Profile for TPM Family 2.0,
//	           version 2.6. It is loaded only while it is needed, and made once.
//	AK         endorsement hierarchy, tpm.AKTemplate: restricted, signs quotes
//	transport  owner hierarchy, tpm.TransportTemplate: signs TLS handshakes;
//	           TPM2_Clear replaces it and no other
//
// AK and transport key stay loaded until Close. With the EK they fill the three
// slots for objects that a TPM has at the least (TCG PC Client Platform TPM Profile
// 1.05, TPM_PT_HR_TRANSIENT_MIN), which matters on a socket, behind which nobody
// swaps objects out.
package tpmdev

import (
	"fmt"
	"os"
	"sync"

	"github.com/google/go-tpm/tpm2/transport"
)

// Device is an open TPM. Its methods may be called from several goroutines: one
// of them has the TPM at a time.
type Device struct {
	name string

	mu     sync.Mutex // held while a method uses the TPM; guards what follows
	conn   transport.TPMCloser
	closed bool
	ak     *key
	tls    *TransportKey
	ek     *ek
}

// Open opens a TPM for its one user, the agent. Behind a socket that user is
// alone: Open flushes whatever objects and sessions are loaded, for an agent
// that was killed left them there and only three fit.
func Open(device string) (*Device, error) {
	d, err := OpenShared(device)
	if err != nil {
		return nil, err
	}
	if _, raw := d.conn.(Socket); !raw {
		return d, nil
	}
	if err := d.run("flush what a killed agent left", d.flushAll); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// OpenShared opens a TPM beside its user and flushes nothing. It is for what
// loads no key for longer than a command: reading, extending, and asking for
// properties or for the EK.
func OpenShared(device string) (*Device, error) {
	conn, err := dial(device)
	if err != nil {
		return nil, explain(device, "open", err)
	}
	d := &Device{name: device, conn: conn}
	if _, err := d.Manufacturer(); err != nil { // whoever answers this is a TPM 2.0
		conn.Close()
		return nil, err
	}
	return d, nil
}

// Close flushes the keys that are loaded and closes the device.
func (d *Device) Close() error {
	return d.run("close", func() error {
		d.closed = true
		if d.ak != nil {
			d.flush(d.ak.handle)
		}
		if d.tls != nil {
			d.flush(d.tls.key.handle)
		}
		return d.conn.Close()
	})
}

// run does one operation, alone, and explains its error.
func (d *Device) run(operation string, do func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return fmt.Errorf("TPM %s: %s: %w", d.name, operation, os.ErrClosed)
	}
	return explain(d.name, operation, do())
}
