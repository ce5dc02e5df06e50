package channel

import (
	"context"
	"encoding/gob"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"testing"
)

// fleet is what a process of idle clients needs to know.
type fleet struct {
	Server netip.AddrPort
	Pin    [32]byte
	Size   int
}

// fleetVariable makes this test binary a process of idle clients.
const fleetVariable = "QUICKLIME_TEST_FLEET"

// BenchmarkIdle reports what one idle connection costs a server in heap and
// stacks. Its clients are in another process.
func BenchmarkIdle(b *testing.B) {
	a := newAuthority(b)
	addr, _ := start(b, a.listenConfig(), echo)
	before := memory()
	b.ResetTimer()
	startFleet(b, fleet{Server: addrPort(addr), Pin: a.pin, Size: b.N})
	b.StopTimer()
	b.ReportMetric(float64(memory()-before)/float64(b.N), "B-server/op")
}

// startFleet returns when all clients are connected; they stay so until the test
// ends.
func startFleet(b *testing.B, f fleet) {
	b.Helper()
	clients := exec.Command(os.Args[0], "-test.run=^TestFleet$")
	clients.Env = append(os.Environ(), fleetVariable+"=1")
	clients.Stderr = os.Stderr
	in, err := clients.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := clients.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := clients.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close() // ends it
		clients.Wait()
	})
	if err := gob.NewEncoder(in).Encode(f); err != nil {
		b.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		b.Fatal("the clients did not connect: ", err)
	}
}

// TestFleet is the other process of BenchmarkIdle. It writes a byte when all
// are connected and ends with its standard input.
func TestFleet(t *testing.T) {
	if os.Getenv(fleetVariable) == "" {
		t.Skip("only BenchmarkIdle runs this")
	}
	var f fleet
	if err := gob.NewDecoder(os.Stdin).Decode(&f); err != nil {
		t.Fatal(err)
	}
	cfg := authority{pin: f.Pin}.dialConfig(t, net.UDPAddrFromAddrPort(f.Server))
	for range f.Size {
		c, err := Dial(context.Background(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		c.Send(challenge)
		if _, err := c.Receive(0); err != nil {
			t.Fatal(err)
		}
	}
	os.Stdout.Write([]byte{'\n'})
	io.Copy(io.Discard, os.Stdin)
}

// memory is what heap and stacks use after a collection, in bytes.
func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
