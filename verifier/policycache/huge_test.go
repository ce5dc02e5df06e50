package policycache

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"quicklime/ima"
	"quicklime/verifier/policy"
	"quicklime/wire/pcr"
)

// large has sets that are copied.
var large = sync.OnceValue(func() *policy.Policy {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"meta":{"version":1},"digests":{%q:["%x"]`, "/bin/a", digest)
	for i := range minHuge/36 + 1000 {
		fmt.Fprintf(&b, `,"/%d":["%064x"]`, i, i)
	}
	p, err := policy.Parse(append(b.Bytes(), "}}"...))
	if err != nil {
		panic(err)
	}
	return p
})

// openHuge opens a cache whose kernel takes the advice, on a machine that has the memory.
func openHuge(t *testing.T) *Cache {
	c, _ := open(t, t.TempDir())
	c.huge.advise = func([]byte) error { return nil }
	c.huge.most = MaxHuge
	return c
}

// some are template digests, in two shapes each, of files most of which a large policy
// lists.
func some() (sums [][sha256.Size]byte) {
	for i := 0; i < 2*minHuge/36; i += 101 {
		e := ima.NewFileEntry(pcr.SHA256, fmt.Appendf(nil, "%032d", 0), "/not/there")
		if i%2 == 0 {
			e = ima.NewFileEntry(pcr.SHA256, number(i), fmt.Sprintf("/%d", i))
		}
		sums = append(sums, sha256.Sum256(e.Data), sha256.Sum256(append(bytes.Clone(e.Data), 0, 0, 0, 0)))
	}
	return sums
}

// number is a digest that is i.
func number(i int) []byte {
	d := make([]byte, sha256.Size)
	d[29], d[30], d[31] = byte(i>>16), byte(i>>8), byte(i)
	return d
}

// judges checks that a policy loaded from a file says what the large one does.
func judges(t *testing.T, p *policy.Policy) {
	t.Helper()
	sums := some()
	for _, shape := range []policy.Shape{policy.ShapeNG, policy.ShapeSig, policy.ShapeNGv2} {
		got, want := p.Unlisted(shape, sums, nil), large().Unlisted(shape, sums, nil)
		if !slices.Equal(got, want) {
			t.Errorf("shape %d: of %d entries %d are not listed, want %d", shape, len(sums), len(got), len(want))
		}
		if shape != policy.ShapeNGv2 && (len(want) == len(sums) || len(want) < len(sums)/2) {
			t.Errorf("shape %d: %d of %d are not listed", shape, len(want), len(sums))
		}
	}
	allows(t, p, nil, "/bin/a")
	if p.Digest() != large().Digest() || !bytes.Equal(p.Compiled(), large().Compiled()) {
		t.Error("its compiled form is another one")
	}
}

func TestCopiesJudgeTheSame(t *testing.T) {
	c := openHuge(t)
	p := c.Add(large())
	if n := c.huge.used.Load(); n > 0 {
		t.Errorf("%d bytes are copied before a search", n)
	}
	judges(t, p)
	if n := c.huge.used.Load(); n < 3*minHuge || n > 3*(minHuge+3*hugePage) {
		t.Errorf("the copies of three sets have %d bytes", n)
	}
}

// What cannot be copied is searched in the file, and somebody is told.
func TestSetsStayInTheFile(t *testing.T) {
	for name, prevent := range map[string]func(*huge){
		"no advice": func(h *huge) { h.advise = func([]byte) error { return errors.New("invalid argument") } },
		"no room":   func(h *huge) { h.used.Store(h.most) },
	} {
		t.Run(name, func(t *testing.T) {
			c, log := open(t, t.TempDir())
			prevent(c.huge)
			before := c.huge.used.Load()
			p := c.Add(large())
			if about := region(t, p.Near(policy.ShapeNG).Slots); !strings.Contains(about, fileOf(t, c, p)) {
				t.Errorf("searched in %s", about)
			}
			judges(t, p)
			if !strings.Contains(log.String(), "not searched in huge pages") {
				t.Errorf("nobody is told: %s", log)
			}
			if n := c.huge.used.Load(); n != before {
				t.Errorf("%d bytes are kept for no copy", n-before)
			}
		})
	}
}

// A machine with little memory keeps most of it for others.
func TestCopiesHaveAnEighthOfTheMemoryAtMost(t *testing.T) {
	for memory, want := range map[uint64]int64{0: 0, 1 << 30: 128 << 20, 8 << 30: MaxHuge, 1 << 40: MaxHuge} {
		if got := mostHuge(memory); got != want {
			t.Errorf("of %d bytes %d, want %d", memory, got, want)
		}
	}
	if n := newHuge(nil).most; n <= 0 {
		t.Errorf("here %d bytes", n)
	}
}

func TestSmallSetsStayInTheFile(t *testing.T) {
	c := openHuge(t)
	p := c.Add(parse(t, text("/bin/a")))
	if about := region(t, p.Near(policy.ShapeNG).Slots); !strings.Contains(about, fileOf(t, c, p)) || c.huge.used.Load() > 0 {
		t.Errorf("searched in %s", about)
	}
}

func TestAllSearchOneCopy(t *testing.T) {
	c := openHuge(t)
	p := c.Add(large())
	var at [16]*byte
	var all sync.WaitGroup
	for i := range at {
		all.Go(func() { at[i] = &p.Near(policy.ShapeNG).Slots[0] })
	}
	all.Wait()
	for _, a := range at {
		if a != at[0] {
			t.Fatalf("searched at %p and at %p", at[0], a)
		}
	}
	if n := c.huge.used.Load(); n > minHuge+3*hugePage {
		t.Errorf("one copy has %d bytes", n)
	}
}

// The kernel is asked for huge pages, the copy begins where one does, nobody can write
// to it, and what is in the file is not resident any more.
func TestCopiesAreInHugePages(t *testing.T) {
	if mode, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled"); err != nil || bytes.Contains(mode, []byte("[never]")) {
		t.Skipf("the kernel gives no transparent huge pages: %s%v", mode, err)
	}
	c, log := open(t, t.TempDir())
	p := c.Add(large())
	near := p.Near(policy.ShapeNG)
	about := region(t, near.Slots)
	if !strings.Contains(about, " r--p ") || !slices.Contains(strings.Fields(about), "hg") {
		t.Errorf("searched in %s: %s", about, log)
	}
	if at := reflect.ValueOf(near.Index).Pointer() % hugePage; at >= 4096 {
		t.Errorf("the index is %d bytes behind the begin of a huge page", at)
	}
	file := "no mapping"
	for _, r := range regions(t) {
		if strings.Contains(r, fileOf(t, c, p)) {
			file = r
		}
	}
	if kb := resident(t, file); kb > minHuge/2/1024 {
		t.Errorf("%d kB of the file are resident", kb)
	}
	runtime.KeepAlive(p)
}

func TestCopiesEndWithTheirPolicies(t *testing.T) {
	c := openHuge(t)
	search := func() string {
		p := c.Add(large())
		about, _, _ := strings.Cut(region(t, p.Near(policy.ShapeNG).Slots), "\n")
		if c.huge.used.Load() == 0 {
			t.Fatal("nothing is copied")
		}
		if err := c.Keep(nil); err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		judges(t, p)
		return about
	}
	about := search()
	for tries := 0; c.huge.used.Load() > 0; tries++ {
		if tries == 1000 {
			t.Fatalf("%d bytes are not released", c.huge.used.Load())
		}
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	for _, r := range regions(t) {
		if strings.HasPrefix(r, about) {
			t.Errorf("still mapped: %s", r)
		}
	}
}

// regions is /proc/self/smaps, one region each.
func regions(t *testing.T) (all []string) {
	t.Helper()
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip("what is mapped cannot be told: ", err)
	}
	for line := range strings.Lines(string(smaps)) {
		if _, _, ok := bounds(line); ok {
			all = append(all, "")
		}
		all[len(all)-1] += line
	}
	return all
}

// bounds are those of a region, if a line begins one.
func bounds(line string) (from, to uintptr, ok bool) {
	n, _ := fmt.Sscanf(line, "%x-%x ", &from, &to)
	return from, to, n == 2
}

// region is the one that b is in.
func region(t *testing.T, b []byte) string {
	t.Helper()
	at := reflect.ValueOf(b).Pointer()
	for _, r := range regions(t) {
		if from, to, _ := bounds(r); from <= at && at < to {
			return r
		}
	}
	t.Fatalf("nothing is mapped at %x", at)
	return ""
}

// fileOf is the name of a policy's file in a region.
func fileOf(t *testing.T, c *Cache, p *policy.Policy) string {
	t.Helper()
	file, err := filepath.EvalSymlinks(c.file(p.Digest()))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// resident is how much of a region is, in kB.
func resident(t *testing.T, region string) (kb int) {
	t.Helper()
	_, after, _ := strings.Cut(region, "\nRss:")
	if _, err := fmt.Sscan(after, &kb); err != nil {
		t.Fatalf("%v: %s", err, region)
	}
	return kb
}
