package verifiertest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"quicklime/ima"
	"quicklime/wire/pcr"
)

// DevicePolicy is a member ima of a runtime policy that requires the device which
// DeviceLoads loads, in use.
const DevicePolicy = `"ima":{"dm_policy":{"version":1,"match_on":"name","rules":{"root":{
	"required":true,"device_resume_required":true,"device_remove":{"allow_removal":true},"allow_clear":false,
	"table_load":{"allow_multiple_loads":false,"name":"root","uuid":null,"major":null,"minor":null,"minor_count":null,"num_targets":1,"targets":[{}]}}}}}`

const (
	device = `dm_version=4.45.0;name=root,uuid=u,major=253,minor=0,minor_count=1,num_targets=1;`
	table  = device + `target_index=0,target_begin=0,target_len=8,target_name=linear,target_version=1.4.0,device_name=7:1,start=0;`
)

// DeviceLoads measures that the device gets its table (linux: drivers/md/dm-ima.c).
func (m *Machine) DeviceLoads() { m.Measure(NewBuffer("dm_table_load", []byte(table))) }

// DeviceResumes measures that it is put to use.
func (m *Machine) DeviceResumes() {
	m.Measure(NewBuffer("dm_device_resume", fmt.Appendf(nil, "%sactive_table_hash=sha256:%x;current_device_capacity=8;", device, sha256.Sum256([]byte(table)))))
}

// NewBuffer makes the ima-buf entry of a buffer.
func NewBuffer(name string, b []byte) ima.Entry {
	e := ima.NewFileEntry(pcr.SHA256, pcr.SHA256.Sum(b), name)
	e.Template = []byte("ima-buf")
	e.Data = append(binary.LittleEndian.AppendUint32(e.Data, uint32(len(b))), b...)
	return e
}

// Violation makes a violation entry that names a file.
func Violation(name string) ima.Entry {
	e := ima.NewFileEntry(pcr.SHA256, make([]byte, 32), name)
	e.Digest = make([]byte, 20)
	return e
}
