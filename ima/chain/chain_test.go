package chain_test

import (
	"crypto/sha256"
	"math/rand/v2"
	"testing"

	"quicklime/ima/chain"
)

type sum = [sha256.Size]byte

// oracle is Register.Extend as its documentation says it.
func oracle(value sum, messages [][]byte) (sum, []sum) {
	sums := make([]sum, len(messages))
	for i, m := range messages {
		sums[i] = sha256.Sum256(m)
		value = sha256.Sum256(append(value[:], sums[i][:]...))
	}
	return value, sums
}

// ways are all that Use takes.
var ways = []string{"auto", "sha-ni", "portable"}

// check compares Register and ExtendSums, of each way to hash, with the oracle.
func check(t *testing.T, start sum, messages [][]byte) {
	t.Helper()
	wantValue, want := oracle(start, messages)
	table := make([]byte, sha256.Size*len(messages)) // none, if there are no messages
	near := chain.Near{Index: table, Slots: table}
	for _, which := range ways {
		use(t, which)
		bare, sums := start, make([]sum, len(messages))
		if chain.ExtendSums(&bare, want); bare != wantValue {
			t.Fatalf("%s: %d messages: value of the sums %x, want %x", chain.Kernel(), len(messages), bare, wantValue)
		}
		twice := bare
		chain.ExtendSums(&twice, want)
		for _, first := range []int{1, len(messages)} { // messages in the first call; each further call has more
			var register chain.Register
			register.Set(&start)
			clear(sums)
			for i, n := 0, first; i < len(messages); i, n = i+n, 2*n+1 {
				end := min(i+n, len(messages))
				register.Extend(messages[i:end], sums[i:end], near)
			}
			for i := range want {
				if sums[i] != want[i] {
					t.Fatalf("%s: %d messages, %d first: message %d of %d bytes has another hash", chain.Kernel(), len(messages), first, i, len(messages[i]))
				}
			}
			again := register // with what it is behind
			if value := register.Value(); value != wantValue {
				t.Fatalf("%s: %d messages, %d first: value %x, want %x", chain.Kernel(), len(messages), first, value, wantValue)
			}
			again.ExtendSums(want)
			if value := again.Value(); value != twice {
				t.Fatalf("%s: %d messages, %d first, and their sums: value %x, want %x", chain.Kernel(), len(messages), first, value, twice)
			}
			again.Extend(messages, sums, chain.Near{})
			again.Set(&start)
			again.ExtendSums(want)
			if value := again.Value(); value != wantValue {
				t.Fatalf("%s: %d messages: value %x after Set, want %x", chain.Kernel(), len(messages), value, wantValue)
			}
		}
	}
}

func use(t testing.TB, which string) {
	t.Helper()
	if err := chain.Use(which); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = chain.Use("auto") })
}

// text is n bytes at an odd address with nothing after them.
func text(random *rand.Rand, n int) []byte {
	b := make([]byte, n+1)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b[1:]
}

func TestEveryLength(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 601 {
		m := text(random, n)
		check(t, sum(text(random, sha256.Size)), [][]byte{m, text(random, n), m[:n/2]})
	}
}

func TestI16_EveryBatch(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for n := range 201 {
		messages := make([][]byte, n)
		for i := range messages {
			messages[i] = text(random, random.IntN(400))
		}
		check(t, sum{}, messages)
	}
}

func TestI16_LongMessages(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	check(t, sum{}, [][]byte{nil, text(random, 64<<10), {}, text(random, 200), text(random, 130<<10), text(random, 90<<10)})
	check(t, sum{1}, make([][]byte, 3000))

	var many [][]byte // long ones side by side, and one that is alone
	for i := range 100 {
		n := 10*i + 1
		if i%5 == 0 {
			n += 60 << 10
		}
		if i == 3 {
			n = 1<<20 + 1
		}
		many = append(many, text(random, n))
	}
	check(t, sum{2}, many)

	long := text(random, 1<<20+200)
	for _, step := range []int{0, 4} { // about the longest that are hashed side by side, alike or not
		for i := range 33 {
			many[i] = long[i : i+1<<20+2+step*i]
		}
		check(t, sum{3}, many[:33])
	}
}

func TestUse(t *testing.T) {
	use(t, "portable")
	if k := chain.Kernel(); k != "portable" {
		t.Errorf("Kernel is %q", k)
	}
	if err := chain.Use("fast"); err == nil {
		t.Error(`Use("fast"): no error`)
	}
}

func TestFewerSumsPanic(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	new(chain.Register).Extend(make([][]byte, 2), make([]sum, 1), chain.Near{})
}

func TestAllocatesNothing(t *testing.T) {
	long := make([]byte, 1000)
	for _, which := range ways {
		use(t, which)
		var register chain.Register
		n := testing.AllocsPerRun(10, func() {
			var value sum
			var sums [20]sum
			var messages [20][]byte
			for i := range messages {
				messages[i] = long[i*40:]
			}
			chain.ExtendSums(&value, sums[:])
			register.Extend(messages[:], sums[:], chain.Near{})
			value = register.Value()
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", chain.Kernel(), n)
		}
	}
}

// FuzzExtend cuts text into messages; each byte of cuts is a length, doubled.
func FuzzExtend(f *testing.F) {
	f.Add([]byte(""), []byte(""))
	f.Add(make([]byte, 700), []byte{0, 27, 28, 31, 32, 59, 60, 63, 64, 92})
	f.Fuzz(func(t *testing.T, text, cuts []byte) {
		var messages [][]byte
		for _, c := range cuts {
			n := min(int(c)*2, len(text))
			messages, text = append(messages, text[:n:n]), text[n:]
		}
		check(t, sha256.Sum256(cuts), append(messages, text))
	})
}
