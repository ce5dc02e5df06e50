package rest

// BootLog answers GetBootLog.
type BootLog struct {
	Epoch   string `json:"epoch"`             // the boot that it is of
	Log     []byte `json:"log"`               // the firmware's, as Linux has it in binary_bios_measurements
	Systemd []byte `json:"systemd,omitempty"` // systemd's own, /run/log/systemd/tpm2-measure.log, as it came last
	Proven  []int  `json:"proven"`            // PCRs that the last quote covers and the logs lead to
}
