package payload

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/wire/payload"
)

// most is what files may have in these tests.
const most = 1 << 20 // bytes

// entry is a header of a tar archive and what follows it.
type entry struct {
	tar.Header
	content string
}

func file(name, content string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}, content}
}

func directory(name string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}, ""}
}

func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if e.Typeflag == tar.TypeReg {
			e.Size = int64(len(e.content))
		}
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipOf(t testing.TB, b []byte) []byte {
	t.Helper()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(b)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return z.Bytes()
}

func zipOf(t testing.TB, headers map[string]fs.FileMode, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, mode := range headers {
		h := &zip.FileHeader{Name: name, Method: zip.Deflate}
		h.SetMode(mode)
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if !mode.IsDir() {
			io.WriteString(f, content)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// unpacked unpacks into a directory in memory, beside which is one that must stay
// as it is.
func unpacked(t testing.TB, archive []byte) (dir string, files uint64, err error) {
	t.Helper()
	top := memory(t)
	dir = filepath.Join(top, "in")
	for _, d := range []string{dir, filepath.Join(top, "out")} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	name := filepath.Join(top, "archive")
	if err := os.WriteFile(name, archive, 0o600); err != nil {
		t.Fatal(err)
	}
	files, err = unpack(name, dir, most)
	outside, e := os.ReadDir(filepath.Join(top, "out"))
	all, f := os.ReadDir(top)
	if e != nil || f != nil || len(outside) > 0 || len(all) != 3 {
		t.Errorf("something was written outside: %v, %v, %v, %v", outside, all, e, f)
	}
	return dir, files, err
}

// tree is what is below a directory: contents by path, with the mode before them.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		got[name] = st.Mode().String()
		if !d.IsDir() {
			b, err := os.ReadFile(path)
			got[name] += " " + string(b)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestUnpack(t *testing.T) {
	script := file("bin/run.sh", "#!/bin/sh\n")
	script.Mode = 0o6755
	plain := tarOf(t, directory("./"), directory("./bin/"), script, file("a/b/c.txt", "c"), file("empty", ""))
	want := map[string]string{
		"bin": "drwx------", "bin/run.sh": "-rwx------ #!/bin/sh\n", "a": "drwx------", "a/b": "drwx------", "a/b/c.txt": "-rw------- c", "empty": "-rw------- ",
	}
	for name, b := range map[string][]byte{"tar": plain, "tar.gz": gzipOf(t, plain)} {
		dir, files, err := unpacked(t, b)
		if d := cmp.Diff(want, tree(t, dir)); err != nil || files != 3 || d != "" {
			t.Errorf("%s: %d files, %v, tree differs (-want +got):\n%s", name, files, err, d)
		}
	}
	dir, files, err := unpacked(t, zipOf(t, map[string]fs.FileMode{"d/": fs.ModeDir | 0o755, "d/x": 0o755, "y": 0o644}, "z"))
	want = map[string]string{"d": "drwx------", "d/x": "-rwx------ z", "y": "-rw------- z"}
	if d := cmp.Diff(want, tree(t, dir)); err != nil || files != 2 || d != "" {
		t.Errorf("zip: %d files, %v, tree differs (-want +got):\n%s", files, err, d)
	}
	for name, b := range map[string][]byte{"tar": tarOf(t), "zip": zipOf(t, nil, "")} {
		if _, files, err := unpacked(t, b); err != nil || files != 0 {
			t.Errorf("an empty %s: %d files, %v", name, files, err)
		}
	}
}

// what a tar archive may hold beside files and directories, and paths that lead
// elsewhere.
func TestI02_UnpackRefusesTricks(t *testing.T) {
	special := func(kind byte, name, link string) entry {
		return entry{tar.Header{Name: name, Typeflag: kind, Linkname: link, Mode: 0o777}, ""}
	}
	for name, entries := range map[string][]entry{
		"a path upwards":                {file("../out/x", "x")},
		"a path upwards, later":         {file("a/../../out/x", "x")},
		"a path that goes round":        {file("a/../x", "x")},
		"an absolute path":              {file("/dev/shm/x", "x")},
		"two slashes":                   {file("a//x", "x")},
		"a backslash":                   {file(`a\x`, "x")},
		"nothing but dots":              {file("..", "x")},
		"the directory as a file":       {file(".", "x")},
		"a symbolic link":               {special(tar.TypeSymlink, "l", "../out")},
		"a link, and through it":        {special(tar.TypeSymlink, "l", "../out"), file("l/x", "x")},
		"a link to within":              {file("x", "x"), special(tar.TypeSymlink, "l", "x")},
		"a hard link":                   {special(tar.TypeLink, "l", "../archive")},
		"a character device":            {special(tar.TypeChar, "null", "")},
		"a block device":                {special(tar.TypeBlock, "sda", "")},
		"a pipe":                        {special(tar.TypeFifo, "p", "")},
		"a file twice":                  {file("x", "1"), file("x", "2")},
		"a file below a file":           {file("x", "1"), file("x/y", "2")},
		"a directory in a file's place": {file("x", "1"), directory("x/y")},
		"too deep":                      {file(strings.Repeat("d/", 16)+"x", "x")},
		"a long path":                   {file(strings.Repeat("d/", 8)+strings.Repeat("a", 1<<10), "x")},
		"a long name":                   {file(strings.Repeat("a", 300), "x")},
	} {
		if _, _, err := unpacked(t, tarOf(t, entries...)); !errors.Is(err, errArchive) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, headers := range map[string]map[string]fs.FileMode{
		"a path upwards":   {"../out/x": 0o644},
		"an absolute path": {"/dev/shm/x": 0o644},
		"a symbolic link":  {"l": fs.ModeSymlink | 0o777},
		"a device":         {"d": fs.ModeDevice | 0o600},
		"a pipe":           {"p": fs.ModeNamedPipe | 0o600},
		"a backslash":      {`..\out\x`: 0o644},
	} {
		if _, _, err := unpacked(t, zipOf(t, headers, "x")); !errors.Is(err, errArchive) {
			t.Errorf("zip, %s: %v", name, err)
		}
	}
}

func TestI04_UnpackRefusesBombs(t *testing.T) {
	var many []entry
	names := map[string]fs.FileMode{}
	for n := range 4096 + 1 {
		many = append(many, directory(fmt.Sprint("d", n)))
		names[fmt.Sprint("f", n)] = 0o644
	}
	large := gzipOf(t, endless(t, most+1))
	for name, b := range map[string][]byte{
		"directories":      tarOf(t, many...),
		"zipped files":     zipOf(t, names, ""),
		"a file of zeros":  large,
		"zip upon zip":     gzipOf(t, large),
		"many large files": gzipOf(t, slicesOf(t, 3, most/2)),
		"a tar cut off":    tarOf(t, file("x", "xyz"))[:514],
		"no archive":       []byte(strings.Repeat("this is no archive", 100)),
		"half a zip":       []byte("PK\x03\x04"),
		"half a gzip":      {0x1f, 0x8b},
	} {
		if _, _, err := unpacked(t, b); !errors.Is(err, errArchive) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, files, err := unpacked(t, tarOf(t, many[:4096]...)); err != nil || files != 0 {
		t.Errorf("as many as may be: %v", err)
	}
}

// endless is a tar archive of one file of n zeros, whose end is not there.
func endless(t testing.TB, n int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "x", Typeflag: tar.TypeReg, Size: n}); err != nil {
		t.Fatal(err)
	}
	return append(b.Bytes(), make([]byte, n)...)
}

// slicesOf is a tar archive of some files of n zeros each.
func slicesOf(t testing.TB, count int, n int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := range count {
		if err := w.WriteHeader(&tar.Header{Name: fmt.Sprint("x", i), Typeflag: tar.TypeReg, Size: n}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestArchive(t *testing.T) {
	f := newFixture(t)
	good := f.send(1, payload.Archive, tarOf(t, file("conf/app.ini", "one"), file("only-in-one", "x")))
	if o := f.deliver(good); o.State != payload.Stored || o.Files != 2 {
		t.Errorf("%+v", o)
	}
	f.holds("db/conf/app.ini", "one")
	f.deliver(f.send(2, payload.Archive, tarOf(t, file("conf/app.ini", "two"))))
	f.holds("db/conf/app.ini", "two")
	f.holds("db/only-in-one", "")

	// One that is refused takes nothing from what is there, and is not fetched again.
	bad := f.send(3, payload.Archive, tarOf(t, file("../x", "x")))
	if o := f.deliver(bad); o.State != payload.Failed || !strings.Contains(o.Reason, "refused") {
		t.Errorf("%+v", o)
	}
	f.holds("db/conf/app.ini", "two")
	f.clean()
	f.offer(bad)
	if o := f.outcome(bad); o.State != payload.Failed {
		t.Errorf("%+v", o)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(tarOf(f, file("a/b", "c"), directory("d")))
	f.Add(gzipOf(f, tarOf(f, file("a/b", "c"))))
	f.Add(zipOf(f, map[string]fs.FileMode{"a/b": 0o644, "d/": fs.ModeDir | 0o755}, "c"))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir, _, err := unpacked(t, b)
		if err != nil && !errors.Is(err, errArchive) {
			t.Error(err)
		}
		for name, what := range tree(t, dir) {
			if what[0] != 'd' && what[0] != '-' {
				t.Errorf("%s is %s", name, what)
			}
		}
	})
}
