package main

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os/exec"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestArchiveHoldsItsFiles(t *testing.T) {
	var a archive
	want := map[string]string{"init": "program", "modules/00-virtio.ko": "a module", "empty": ""}
	for name, content := range want {
		a.add(name, modeFile|0o755, []byte(content))
	}
	got := map[string]string{}
	for rest := a.buf.Bytes(); len(rest) > 0; {
		if !bytes.HasPrefix(rest, []byte("070701")) {
			t.Fatalf("no header at %.20q", rest)
		}
		field := func(i int) int {
			n, err := strconv.ParseUint(string(rest[6+8*i:14+8*i]), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
		if field(1) != modeFile|0o755 {
			t.Errorf("mode %o", field(1))
		}
		name, size := field(11), field(6)
		content := (110 + name + 3) &^ 3
		got[string(rest[110:110+name-1])] = string(rest[content : content+size])
		rest = rest[(content+size+3)&^3:]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestPartitionTableChecks(t *testing.T) {
	fs := bytes.Repeat([]byte("filesyst"), 1<<17)
	disk := partitioned(fs)
	last := len(disk)/sector - 1
	for at, other := range map[int]int{1: last, last: 1} {
		h := bytes.Clone(disk[at*sector : at*sector+92])
		sum := binary.LittleEndian.Uint32(h[16:])
		copy(h[16:20], make([]byte, 4))
		if crc32.ChecksumIEEE(h) != sum {
			t.Errorf("header at %d: wrong sum", at)
		}
		if binary.LittleEndian.Uint64(h[24:]) != uint64(at) || binary.LittleEndian.Uint64(h[32:]) != uint64(other) {
			t.Errorf("header at %d: says it is elsewhere", at)
		}
		table := disk[binary.LittleEndian.Uint64(h[72:])*sector:][:128*128]
		if crc32.ChecksumIEEE(table) != binary.LittleEndian.Uint32(h[88:]) {
			t.Errorf("header at %d: wrong sum of the table", at)
		}
		from, to := binary.LittleEndian.Uint64(table[32:]), binary.LittleEndian.Uint64(table[40:])
		if !bytes.Equal(disk[from*sector:(to+1)*sector], fs) {
			t.Errorf("header at %d: the partition %d to %d is not the file system", at, from, to)
		}
	}
}

func TestDependencies(t *testing.T) {
	const printed = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-50-cloud-amd64\n"
	if got := dependency([]byte(printed), "linux-image-"); got != "linux-image-6.1.0-50-cloud-amd64" {
		t.Errorf("got %q", got)
	}
	if got := dependency([]byte("shim-signed\n  Depends: shim-helpers-amd64-signed\n"), "linux-image-"); got != "" {
		t.Errorf("got %q", got)
	}
	if _, err := dependencies([]byte("no ELF")); err == nil {
		t.Error("no error for what is no module")
	}
}

func TestStartedProgramEnds(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	p, err := start(dir, dir+"/log", sleep, "600")
	if err != nil {
		t.Fatal(err)
	}
	if p.ended() {
		t.Error("it ended at once")
	}
	if err := p.stop(); err != nil || !p.ended() {
		t.Errorf("stop: %v, ended: %v", err, p.ended())
	}
	if err := (*process)(nil).stop(); err != nil {
		t.Errorf("stop of none: %v", err)
	}
}
