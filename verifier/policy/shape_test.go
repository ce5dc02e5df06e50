package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"quicklime/wire/pcr"
)

// A listed is an entry of a kernel's list: what its template hashes, and what the
// first two fields say.
type listed struct {
	data      []byte
	algorithm string // "sha256"
	digest    []byte
	path      string
	fields    int
}

// readList takes a list of a little-endian kernel apart:
//
//	pcr u32 | SHA-1 of data | name length u32 | name | data length u32 | data
func readList(t *testing.T, file string) (all []listed) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	field := func(b *[]byte) []byte {
		n := binary.LittleEndian.Uint32(*b)
		f := (*b)[4 : 4+n]
		*b = (*b)[4+n:]
		return f
	}
	for len(b) > 0 {
		b = b[4+20:]
		field(&b)
		e := listed{data: field(&b)}
		rest := e.data
		digest, path := field(&rest), field(&rest)
		kind, digest, _ := bytes.Cut(digest, []byte{0})
		words := strings.Split(strings.TrimSuffix(string(kind), ":"), ":")
		e.algorithm, e.digest, e.path = words[len(words)-1], digest, strings.TrimSuffix(string(path), "\x00")
		for e.fields = 2; len(rest) > 0; e.fields++ {
			field(&rest)
		}
		all = append(all, e)
	}
	return all
}

// listing makes a policy that lists all files of a list.
func listing(t *testing.T, list []listed) *Policy {
	t.Helper()
	var members []string
	seen := map[string]bool{}
	for _, e := range list {
		if !seen[e.path] {
			seen[e.path] = true
			members = append(members, fmt.Sprintf(`%q: ["%x"]`, e.path, e.digest))
		}
	}
	return mustParse(t, around(`"digests": {`+strings.Join(members, ",")+`}`))
}

// What kernels wrote is what the shapes say, to the bit.
func TestShapesAreThoseOfKernels(t *testing.T) {
	for _, test := range []struct {
		shape Shape
		file  string
	}{
		{ShapeNG, "../../testdata/captures/direct-6.1-ima-ng/binary_runtime_measurements"},
		{ShapeSig, "../../testdata/captures/direct-6.1-ima-sig/binary_runtime_measurements"},
		{ShapeNGv2, "testdata/direct-6.1-ima-ngv2.list"},
		{ShapeSigV2, "testdata/direct-6.1-ima-sigv2.list"},
	} {
		list := readList(t, test.file)
		p := listing(t, list)
		found := 0
		for i, e := range list {
			for shape := range shapes {
				missing := len(p.Unlisted(shape, [][sha256.Size]byte{sha256.Sum256(e.data)}, nil)) > 0
				want := shape == test.shape && e.path != BootAggregate && p.JudgeFile([]byte(e.path), pcr.SHA256, e.digest).Verdict == Allowed
				if missing == want {
					t.Errorf("%s: entry %d, %s: missing from shape %d: %v", test.file, i, e.path, shape, missing)
				}
				if want {
					found++
				}
			}
		}
		if found < 16 {
			t.Errorf("%s: only %d of %d entries are listed files", test.file, found, len(list))
		}
	}
}

// randomPolicy makes a policy over few names and digests, so that they meet.
func randomPolicy(r *rand.Rand) string {
	var members []string
	for _, name := range names {
		if r.IntN(2) == 0 {
			continue
		}
		var sums []string
		for range r.IntN(4) {
			sums = append(sums, fmt.Sprintf("%q", hex.EncodeToString(values[r.IntN(len(values))])))
		}
		quoted, _ := json.Marshal(name)
		members = append(members, fmt.Sprintf("%s: [%s]", quoted, strings.Join(sums, ",")))
	}
	r.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	return around(`"excludes": ["/b.*"], "digests": {` + strings.Join(members, ",") + `}`)
}

var names = []string{"/a b", "/a_b", "/a b c", "/a_b c", "/a b_c", "/a_b_c", "/b/x", "/c", "", " ", "_", "boot_aggregate", "boot aggregate", "x", "/é\x7f", "/" + strings.Repeat("x", 300)}

var values = func() (all [][]byte) {
	for _, bank := range pcr.Banks {
		for i := range 2 {
			all = append(all, bytes.Repeat([]byte{byte(i)}, bank.Size()))
		}
	}
	return all
}()

// A file is in the sets exactly if JudgeFile allows it for its digest.
func TestI24_SetsAgreeWithJudgeFile(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	allowed := 0
	for range 100 {
		text := randomPolicy(r)
		p := mustParse(t, text)
		for _, name := range names {
			for _, digest := range values {
				for _, bank := range pcr.Banks {
					want := p.JudgeFile([]byte(name), bank, digest).Verdict == Allowed && name != BootAggregate
					for shape := range shapes {
						sum := sha256.Sum256(shape.appendData(nil, bank, digest, []byte(name)))
						if got := len(p.Unlisted(shape, [][sha256.Size]byte{sum}, nil)) == 0; got != want {
							t.Fatalf("%s\n%q %v:%x in shape %d: %v, want %v", text, name, bank, digest, shape, got, want)
						}
					}
					if want {
						allowed++
					}
				}
			}
		}
	}
	if allowed < 1000 {
		t.Errorf("only %d files were allowed", allowed)
	}
}

func TestUnlistedOfAnUnknownShape(t *testing.T) {
	p := mustParse(t, whole)
	if got := p.Unlisted(shapes, make([][sha256.Size]byte, 3), nil); len(got) != 3 {
		t.Errorf("%v", got)
	}
	if got := new(Policy).Unlisted(ShapeNG, make([][sha256.Size]byte, 3), nil); len(got) != 3 {
		t.Errorf("the zero Policy: %v", got)
	}
}

func TestUnlistedDoesNotAllocate(t *testing.T) {
	p := largePolicy(t, 1000)
	sums, miss := make([][sha256.Size]byte, 300), make([]uint16, 0, 300)
	p.Unlisted(ShapeSig, sums, miss)
	if n := testing.AllocsPerRun(10, func() { p.Unlisted(ShapeSig, sums, miss) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
