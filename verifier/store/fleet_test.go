package store_test

import (
	"crypto/sha256"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"quicklime/ima"
	"quicklime/verifier/store"
	"quicklime/verifier/verifiertest"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
)

// fleet is many machines of one image: all measure the same files in nearly the
// same order, and one in a hundred is a machine's own. Two processors measure
// what comes within 64 entries in any order.
type fleet struct {
	agents, entries int
	files           []ima.Entry
	sums            [][sha256.Size]byte
}

const (
	fleetWindow = 64
	fleetBatch  = 64
)

// fleetSize is 20x10000, or what QUICKLIME_FLEET says: machines "x" entries.
func fleetSize(b *testing.B) (agents, entries int) {
	size := os.Getenv("QUICKLIME_FLEET")
	if size == "" {
		size = "20x10000"
	}
	if _, err := fmt.Sscanf(size, "%dx%d", &agents, &entries); err != nil {
		b.Fatalf("QUICKLIME_FLEET=%s: %v", size, err)
	}
	return agents, entries
}

func newFleet(agents, entries int) *fleet {
	f := &fleet{agents: agents, entries: entries}
	r := rand.New(rand.NewPCG(1, 2))
	for range entries - entries/100 {
		f.add(fleetFile(r, r.IntN(len(fleetDirs))))
	}
	return f
}

func (f *fleet) add(e ima.Entry) {
	f.files, f.sums = append(f.files, e), append(f.sums, sha256.Sum256(e.Data))
}

var (
	fleetDirs = strings.Fields(`/usr/lib/x86_64-linux-gnu /usr/lib/python3/dist-packages/twisted /usr/share/perl5/Debconf
		/usr/lib/modules/6.1.0-37-amd64/kernel/drivers/net /usr/bin /usr/libexec/sudo /etc/systemd/system /opt/app/lib/node_modules/express
		/var/lib/docker/overlay2 /usr/share/ca-certificates/mozilla /usr/lib/firmware/intel /usr/local/sbin`)
	fleetWords = strings.Fields(`access agent audio base bind block boot buffer bus cache check client clock codec config control core crypt data
		debug device dns driver event file filter flow font frame gate group hash host image index init input json kernel key lib link list lock
		log mail map mem message meta mode module monitor mount name net node object open page parse path pipe plugin pool port print proc
		query queue random reader record remote render report request resolve root route run scan script search secure select server session
		shell signal socket sort source stack start state store stream sync system table target task text thread timer token tool trace tree
		update user util value video view watch web window worker write xml zone`)
	fleetEnds = strings.Fields(`.so.0 .py .pm .ko .service .js .conf .sh .pem .bin`)
)

func fleetFile(r *rand.Rand, dir int) ima.Entry {
	var digest [32]byte
	for i := range digest {
		digest[i] = byte(r.Uint32())
	}
	word := func() string { return fleetWords[r.IntN(len(fleetWords))] }
	path := fmt.Sprintf("%s/%s/%s-%s%d%s", fleetDirs[dir], word(), word(), word(), r.IntN(1000), fleetEnds[r.IntN(len(fleetEnds))])
	return ima.NewFileEntry(pcr.SHA256, digest[:], path)
}

// list calls visit with the list of one machine, in batches.
func (f *fleet) list(agent int, v ima.Visitor) {
	r := rand.New(rand.NewPCG(3, uint64(agent)))
	var b ima.Batch
	show := func(e ima.Entry, sum [sha256.Size]byte) {
		b.Entries, b.Sums = append(b.Entries, e), append(b.Sums, sum)
		if len(b.Entries) == fleetBatch {
			v.Visit(b)
			b.First += uint64(len(b.Entries))
			b.Entries, b.Sums = b.Entries[:0], b.Sums[:0]
		}
	}
	own := f.entries - len(f.files)
	order := make([]int, 0, fleetWindow)
	for i := 0; i < len(f.files); i += fleetWindow {
		order = order[:0]
		for j := i; j < min(i+fleetWindow, len(f.files)); j++ {
			order = append(order, j)
		}
		r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, j := range order {
			show(f.files[j], f.sums[j])
			if own > 0 && r.IntN(len(f.files)-j) < own {
				e := fleetFile(r, r.IntN(len(fleetDirs)))
				show(e, sha256.Sum256(e.Data))
				own--
			}
		}
	}
	for ; own > 0; own-- {
		e := fleetFile(r, 0)
		show(e, sha256.Sum256(e.Data))
	}
	v.Visit(b)
}

// openFleet opens the database of a fleet in QUICKLIME_FLEET_DIR, or in a
// directory that goes with the benchmark; it is made if it is not there.
func openFleet(b *testing.B) (*fleet, *store.Store, string) {
	agents, entries := fleetSize(b)
	f := newFleet(agents, entries)
	dir := os.Getenv("QUICKLIME_FLEET_DIR")
	if dir == "" {
		dir = b.TempDir()
	}
	path := filepath.Join(dir, fmt.Sprintf("fleet-%dx%d.db", agents, entries))
	_, err := os.Stat(path)
	s := open(b, path)
	if err != nil {
		began := time.Now()
		f.fill(b, s)
		b.Logf("filled in %v", time.Since(began))
	}
	return f, s, path
}

// fill enrols every machine under the policy "fleet", which is empty, and has it
// attest, several at once.
func (f *fleet) fill(b *testing.B, s *store.Store) {
	r, _ := policyOf(b, fleetPolicy)
	if err := s.RuntimePolicies.Add(b.Context(), r); err != nil {
		b.Fatal(err)
	}
	work := make(chan int)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for agent := range work {
				m := verifiertest.New(b)
				m.AgentID = fmt.Sprintf("%064x", agent)
				f.list(agent, measuring{m})
				commit(b, s, m, enrol(b, s, m, fleetPolicy), nil)
			}
		})
	}
	for agent := range f.agents {
		work <- agent
	}
	close(work)
	all.Wait()
}

const fleetPolicy = "fleet"

// measuring has a machine measure what it is shown.
type measuring struct{ *verifiertest.Machine }

func (m measuring) Visit(b ima.Batch) { m.Measure(b.Entries...) }

// looker reads what it is shown.
type looker struct {
	entries int
	x       byte
}

func (l *looker) Visit(b ima.Batch) {
	for i := range b.Entries {
		l.x ^= b.Sums[i][0] ^ b.Entries[i].Digest[0]
	}
	l.entries += len(b.Entries)
}

func BenchmarkFleet(b *testing.B) {
	f, s, path := openFleet(b)
	b.Run("size", func(b *testing.B) {
		for b.Loop() {
		}
		checkpoint(b, path)
		info, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size())/1000/float64(f.agents), "kB/agent") // with a policy, once "judge" has run
	})
	perEntry := func(b *testing.B, entries int) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(entries), "ns/entry")
	}
	standings := f.standings(b, s)
	for cores := range runtime.GOMAXPROCS(0) {
		b.Run(fmt.Sprintf("visit/%d", cores+1), func(b *testing.B) {
			for b.Loop() {
				var all sync.WaitGroup
				for c := range cores + 1 {
					all.Go(func() {
						for agent := c; agent < f.agents; agent += cores + 1 {
							var l looker
							if err := s.Visit(b.Context(), standings[agent], &l); err != nil || l.entries != f.entries+1 {
								b.Errorf("%d entries, %v", l.entries, err)
							}
						}
					})
				}
				all.Wait()
			}
			perEntry(b, f.agents*f.entries)
		})
	}
	b.Run("collect", func(b *testing.B) {
		var r recorder
		f.list(0, &r)
		for b.Loop() {
			c := s.Collect()
			r.play(c)
			if _, err := s.AddEntries(b.Context(), c); err != nil {
				b.Fatal(err)
			}
		}
		perEntry(b, f.entries)
	})
	for name, q := range f.queries() {
		b.Run("search/"+name, func(b *testing.B) {
			for b.Loop() {
				l, err := s.Search(b.Context(), q)
				if err != nil || len(l.Measurements) == 0 {
					b.Fatal(l, err)
				}
				b.ReportMetric(float64(len(l.Measurements)), "found")
			}
		})
	}
	b.Run("judge", func(b *testing.B) { f.judge(b, s, path) })
	b.Run("memory", func(b *testing.B) {
		const lists = 100
		var r recorder
		f.list(0, &r)
		var all [lists]*store.Collection
		for b.Loop() {
			before := heap()
			for i := range all {
				all[i] = s.Collect()
				r.play(all[i])
			}
			b.ReportMetric(float64(heap()-before)/lists/float64(f.entries), "B/entry")
		}
	})
}

// standings are the states of all machines.
func (f *fleet) standings(b *testing.B, s *store.Store) (all []store.Standing) {
	for agent := range f.agents {
		all = append(all, standing(b, s, store.Enrolment{ID: int64(agent + 1)}))
	}
	return all
}

// checkpoint moves all that was committed from the log to the database.
func checkpoint(b *testing.B, path string) {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`PRAGMA wal_checkpoint(TRUNCATE)`); err != nil {
		b.Fatal(err)
	}
}

// queries are for a file that all machines have and for one that one has.
func (f *fleet) queries() map[string]rest.MeasurementQuery {
	all, _ := f.files[len(f.files)/2].Event()
	var r recorder
	f.list(f.agents/2, &r)
	shared := map[string]bool{}
	for _, e := range f.files {
		shared[string(e.Data)] = true
	}
	var one ima.Event
	for _, e := range r.entries {
		if !shared[string(e.Data)] {
			one, _ = e.Event()
		}
	}
	return map[string]rest.MeasurementQuery{"path of all": {Path: all.Name}, "digest of one": {Digest: one.Digest}}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// recorder keeps a list.
type recorder struct {
	entries []ima.Entry
	sums    [][sha256.Size]byte
}

func (r *recorder) Visit(b ima.Batch) {
	r.entries, r.sums = append(r.entries, b.Entries...), append(r.sums, b.Sums...)
}

func (r *recorder) play(v ima.Visitor) {
	first := uint64(0)
	for chunk := range slices.Chunk(r.entries, fleetBatch) {
		v.Visit(ima.Batch{First: first, Entries: chunk, Sums: r.sums[first : int(first)+len(chunk)]})
		first += uint64(len(chunk))
	}
}
