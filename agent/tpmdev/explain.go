package tpmdev

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/google/go-tpm/tpm2"
)

// explain says at which TPM and in what an error happened and, where that can be
// known, what to do about it. nil stays nil.
func explain(device, operation string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("TPM %s: %s: %w", device, operation, err)
	for _, a := range advices(device) {
		if errors.Is(err, a.cause) {
			return fmt.Errorf("%w (%s)", err, a.advice)
		}
	}
	return err
}

// advice is what to do about a cause.
type advice struct {
	cause  error
	advice string
}

func advices(device string) []advice {
	if strings.HasPrefix(device, SocketPrefix) {
		return append(socketAdvice, tpmAdvice...)
	}
	return append(deviceAdvice, tpmAdvice...)
}

var socketAdvice = []advice{
	{os.ErrNotExist, "start the TPM emulator, or name another device"},
	{syscall.ECONNREFUSED, "the TPM emulator that made this socket has ended: start it again"},
	{os.ErrPermission, "run as the user who runs the TPM emulator"},
	{os.ErrDeadlineExceeded, "the TPM emulator serves one client at a time: does another program keep its connection open?"},
	{io.ErrUnexpectedEOF, "the TPM emulator ended, or this is no TPM's socket"},
}

var deviceAdvice = []advice{
	{os.ErrNotExist, "is there a TPM 2.0, and is it enabled in the firmware's setup?"},
	{os.ErrPermission, "run as root, or as a member of the group that owns the device, usually tss"},
	{syscall.EBUSY, "another program has the device for itself"},
}

var tpmAdvice = []advice{
	{tpm2.TPMRCLockout, "too many wrong passwords: wait, or clear the lockout with \"tpm2_dictionarylockout --clear-lockout\""},
	{tpm2.TPMRCAuthFail, "the hierarchy has a password"},
	{tpm2.TPMRCBadAuth, "the hierarchy has a password"},
	{tpm2.TPMRCHierarchy, "the hierarchy is disabled in the firmware's setup"},
	{tpm2.TPMRCObjectMemory, "other programs fill the TPM's slots: end them, or restart the TPM"},
	{tpm2.TPMRCSessionMemory, "other programs fill the TPM's session slots: end them, or restart the TPM"},
	{tpm2.TPMRCReferenceH0, "the TPM was restarted, or another program flushed the agent's keys: restart the agent"},
	{tpm2.TPMRCInitialize, "nothing has started the TPM up: the firmware does, or swtpm with --flags startup-clear"},
	{tpm2.TPMRCFailure, "the TPM is in failure mode: power the machine off and on"},
	{badTag, "this is a TPM 1.2"},
}

// badTag is TPM_RC_BAD_TAG, with which a TPM 1.2 answers (TPM 2.0 Library part 2,
// section 6.6.3).
const badTag tpm2.TPMRC = 0x01e
