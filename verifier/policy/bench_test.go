package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"quicklime/wire/pcr"
)

var directories = []string{"/usr/lib/x86_64-linux-gnu/", "/usr/lib/python3/dist-packages/", "/usr/share/perl5/vendor_perl/", "/usr/lib/modules/6.1.0-37-amd64/kernel/drivers/",
	"/usr/bin/", "/usr/libexec/", "/usr/share/factory/etc/", "/opt/app/lib/node_modules/"}

// A fleet is a policy as a distribution makes one, with what its machines measure.
type fleet struct {
	text []byte
	sums [][sha256.Size]byte // of every file, ShapeNG, in the order in which the text lists them
}

// newFleet makes paths of 54 to 66 bytes with a digest each.
func newFleet(n int) *fleet {
	r := rand.New(rand.NewPCG(42, uint64(n)))
	f := &fleet{}
	var text bytes.Buffer
	text.WriteString(`{"meta":{"version":1,"generator":2},"excludes":["^/tmp/.*","/var/log/.*"],"digests":{`)
	var data []byte
	for i := range n {
		path := []byte(directories[r.IntN(len(directories))])
		end := fmt.Sprintf("_%x", i)
		for length := 54 + r.IntN(13) - len(end); len(path) < length; {
			path = append(path, "abcdefghijklmnopqrstuvwxyz_-."[r.IntN(29)])
		}
		path = append(path, end...)
		var digest [32]byte
		for j := range digest {
			digest[j] = byte(r.Uint32())
		}
		if i > 0 {
			text.WriteByte(',')
		}
		fmt.Fprintf(&text, `"%s":["%x"]`, path, digest)
		data = ShapeNG.appendData(data[:0], pcr.SHA256, digest[:], path)
		f.sums = append(f.sums, sha256.Sum256(data))
	}
	text.WriteString(`}}`)
	f.text = text.Bytes()
	return f
}

const million = 1_000_000

var millionFleet = sync.OnceValue(func() *fleet { return newFleet(million) })

// BenchmarkCompile makes the compiled form of a million paths of JSON.
func BenchmarkCompile(b *testing.B) {
	f := millionFleet()
	b.SetBytes(int64(len(f.text)))
	b.ReportAllocs()
	for b.Loop() {
		p, err := Parse(f.text)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(p.Compiled()))/million, "file-B/path")
	}
}

// BenchmarkLoad maps the compiled form of a million paths and loads it; every set is
// usable then.
func BenchmarkLoad(b *testing.B) {
	p := mustParse(b, string(millionFleet().text))
	file := b.TempDir() + "/policy"
	if err := os.WriteFile(file, p.Compiled(), 0o600); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(len(p.set(ShapeNG).bytes))/million, "set-B/path")
	p = nil
	runtime.GC()
	for b.Loop() {
		m := mapFile(b, file)
		if _, err := Load(m, nil); err != nil {
			b.Fatal(err)
		}
		syscall.Munmap(m)
	}
}

func mapFile(tb testing.TB, file string) []byte {
	f, err := os.Open(file)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		tb.Fatal(err)
	}
	m, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// BenchmarkLookup looks for the digests of a list, a batch at a time, in random
// order: of files that are listed and of files that are not.
func BenchmarkLookup(b *testing.B) {
	const batch, queries = 256, 1 << 19
	for _, n := range []int{1000, 10_000, 100_000, million} {
		f := millionFleet()
		if n != million {
			f = newFleet(n)
		}
		form := mustParse(b, string(f.text)).Compiled()
		file := b.TempDir() + "/policy"
		if err := os.WriteFile(file, form, 0o600); err != nil {
			b.Fatal(err)
		}
		m := mapFile(b, file)
		defer syscall.Munmap(m)
		p, err := Load(m, nil)
		if err != nil {
			b.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, 2))
		hits, misses := make([][sha256.Size]byte, queries), make([][sha256.Size]byte, queries)
		for i := range hits {
			hits[i] = f.sums[r.IntN(n)]
			misses[i] = sha256.Sum256(hits[i][:])
		}
		for _, mode := range []struct {
			name string
			sums [][sha256.Size]byte
			want int
		}{{"hit", hits, 0}, {"miss", misses, batch}} {
			b.Run(fmt.Sprintf("%s/%d", mode.name, n), func(b *testing.B) {
				var miss [batch]uint16
				i := 0
				b.ReportAllocs()
				for b.Loop() {
					if got := p.Unlisted(ShapeNG, mode.sums[i:i+batch], miss[:0]); len(got) != mode.want {
						b.Fatalf("%d misses", len(got))
					}
					i = (i + batch) % queries
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/lookup")
			})
		}
	}
}

var _ = strings.Repeat
var _ = hex.EncodeToString
