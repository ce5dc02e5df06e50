//go:build !purego

package chain

import (
	"testing"

	"golang.org/x/sys/cpu"
)

// I16: on a processor, or a virtual machine's, that lacks some of the lanes' instructions
// none of them is used: the first would end the process.
func TestI16_LanesNeedAllTheirInstructions(t *testing.T) {
	had := cpu.X86
	defer func() { cpu.X86 = had }()
	all := map[string]*bool{"AVX512F": &cpu.X86.HasAVX512F, "AVX512BW": &cpu.X86.HasAVX512BW, "AVX512VL": &cpu.X86.HasAVX512VL, "BMI2": &cpu.X86.HasBMI2}
	for _, has := range all {
		*has = true
	}
	if !lanesSupported() {
		t.Fatal("lanes are not used where all is there")
	}
	for name, has := range all {
		if *has = false; lanesSupported() {
			t.Errorf("lanes are used without %s", name)
		}
		*has = true
	}
}
