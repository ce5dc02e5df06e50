package daemon

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// One address cannot take all places of a REST server, nor many more than there
// are.
func TestI08_ConnectionsAreBounded(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const max = 12
	l := limit(tcp, max)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				c.Write([]byte{1})
				io.Copy(io.Discard, c)
			})
		}
	})
	defer serving.Wait()
	defer tcp.Close()

	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	connect := func(from string) (served bool) {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err := d.Dial("tcp", tcp.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		_, err = io.ReadFull(c, make([]byte, 1))
		return err == nil
	}
	loud := 0
	for range max {
		if connect("127.0.0.2") {
			loud++
		}
	}
	if loud < 2 || loud > max/2 {
		t.Errorf("one address has %d of %d places", loud, max)
	}
	if !connect("127.0.0.3") {
		t.Error("another address has none")
	}
	all := loud + 1
	for host := range byte(2 * max) {
		if connect(net.IPv4(127, 0, 1, host+1).String()) {
			all++
		}
	}
	if all != max {
		t.Errorf("%d connections, and %d are the limit", all, max)
	}
	for _, c := range open {
		c.Close()
	}
	for late := time.Now().Add(10 * time.Second); !connect("127.0.0.2"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("places that were left cannot be taken")
		}
	}
}
