package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// most is what files may have in these tests.
const most = 1 << 20 // bytes

// entry is a header of a tar archive and what follows it.
type entry struct {
	tar.Header
	content string
}

func file(name, content string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content))}, content}
}

func directory(name string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}, ""}
}

func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
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

// zipOf is a zip archive of entries by the names and modes of tar's.
func zipOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.Name, Method: zip.Deflate}
		h.SetMode(e.FileInfo().Mode())
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(f, e.content)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// walked is what a walk comes by, in order.
func walked(b []byte) (seen []string, files uint64, err error) {
	files, err = Walk(bytes.NewReader(b), int64(len(b)), most, func(e Entry, r io.Reader) error {
		if e.Dir {
			seen = append(seen, e.Path+"/")
			return nil
		}
		text, err := io.ReadAll(r)
		seen = append(seen, fmt.Sprintf("%s %v %s", e.Path, e.Executable, text))
		return err
	})
	return seen, files, err
}

func TestWalk(t *testing.T) {
	script := file("bin/run.sh", "#!/bin/sh\n")
	script.Mode = 0o6711
	entries := []entry{directory("bin/"), script, directory("bin/"), file("a/b/c.txt", "c"), directory("a/"), file("empty", "")}
	want := []string{"bin/", "bin/run.sh true #!/bin/sh\n", "bin/", "a/b/c.txt false c", "a/", "empty false "}
	dots := append([]entry{directory("./")}, entries...)
	dots[4].Name = "./a/b/c.txt"
	for name, b := range map[string][]byte{"tar": tarOf(t, dots...), "tar.gz": gzipOf(t, tarOf(t, entries...)), "zip": zipOf(t, entries...)} {
		seen, files, err := walked(b)
		if d := cmp.Diff(want, seen); err != nil || files != 3 || d != "" {
			t.Errorf("%s: %d files, %v\n%s", name, files, err, d)
		}
		if err := Check(bytes.NewReader(b), int64(len(b)), most); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, b := range map[string][]byte{"tar": tarOf(t), "zip": zipOf(t), "nothing": nil} {
		if seen, files, err := walked(b); err != nil || files != 0 || seen != nil {
			t.Errorf("an empty %s: %d files, %v", name, files, err)
		}
	}
	stop := errors.New("no room")
	b := tarOf(t, entries...)
	if _, err := Walk(bytes.NewReader(b), int64(len(b)), most, func(Entry, io.Reader) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("what the visitor says: %v", err)
	}
}

// special is what an archive may hold beside files and directories.
func special(kind byte, name, link string) entry {
	return entry{tar.Header{Name: name, Typeflag: kind, Linkname: link, Mode: 0o777}, ""}
}

func TestI02_WalkRefusesTricks(t *testing.T) {
	for name, entries := range map[string][]entry{
		"a path upwards":                {file("../out/x", "x")},
		"a path upwards, later":         {file("a/../../out/x", "x")},
		"a path that goes round":        {file("a/../x", "x")},
		"an absolute path":              {file("/dev/shm/x", "x")},
		"two slashes":                   {file("a//x", "x")},
		"a backslash":                   {file(`a\x`, "x")},
		"nothing but dots":              {file("..", "x")},
		"the directory as a file":       {file(".", "x")},
		"a file twice":                  {file("x", "1"), file("x", "2")},
		"a file twice, with dots":       {file("x", "1"), file("./x", "2")},
		"a file below a file":           {file("x", "1"), file("x/y", "2")},
		"a directory below a file":      {file("x", "1"), directory("x/y/z/")},
		"a directory in a file's place": {file("x", "1"), directory("x/")},
		"a file in a directory's place": {directory("x/"), file("x", "1")},
		"a file in a parent's place":    {file("x/y", "1"), file("x", "1")},
		"too deep":                      {file(strings.Repeat("d/", maxDepth)+"x", "x")},
		"a long path":                   {file(strings.Repeat("d/", 8)+strings.Repeat("a", maxPath), "x")},
		"a long name":                   {file(strings.Repeat("a", maxName+1), "x")},
	} {
		for kind, b := range map[string][]byte{"tar": tarOf(t, entries...), "zip": zipOf(t, entries...)} {
			if seen, _, err := walked(b); err == nil {
				t.Errorf("%s, %s: %q", kind, name, seen)
			}
		}
	}
	for name, entries := range map[string][]entry{
		"a symbolic link":        {special(tar.TypeSymlink, "l", "../out")},
		"a link, and through it": {special(tar.TypeSymlink, "l", "../out"), file("l/x", "x")},
		"a link to within":       {file("x", "x"), special(tar.TypeSymlink, "l", "x")},
		"a hard link":            {special(tar.TypeLink, "l", "../archive")},
		"a character device":     {special(tar.TypeChar, "null", "")},
		"a block device":         {special(tar.TypeBlock, "sda", "")},
		"a pipe":                 {special(tar.TypeFifo, "p", "")},
	} {
		if seen, _, err := walked(tarOf(t, entries...)); err == nil {
			t.Errorf("tar, %s: %q", name, seen)
		}
		if entries[0].Typeflag == tar.TypeLink {
			continue // zip has none
		}
		if seen, _, err := walked(zipOf(t, entries...)); err == nil {
			t.Errorf("zip, %s: %q", name, seen)
		}
	}
	long := file(strings.Repeat(strings.Repeat("a", maxName-1)+"/", 3)+strings.Repeat("b", maxName-1), "x")
	if seen, _, err := walked(tarOf(t, long, file(strings.Repeat("d/", maxDepth-1)+"x", "x"))); err != nil || len(seen) != 2 {
		t.Errorf("as long and as deep as may be: %v", err)
	}
}

func TestI04_WalkRefusesBombs(t *testing.T) {
	var many []entry
	for n := range maxEntries + 1 {
		many = append(many, directory(fmt.Sprint("d", n, "/")))
	}
	zeros := strings.Repeat("\x00", most)
	large := gzipOf(t, tarOf(t, file("x", zeros+"\x00")))
	for name, b := range map[string][]byte{
		"directories":      tarOf(t, many...),
		"zipped":           zipOf(t, many...),
		"a file of zeros":  large,
		"zipped zeros":     zipOf(t, file("x", zeros+"\x00")),
		"zip upon zip":     gzipOf(t, large),
		"many large files": gzipOf(t, tarOf(t, file("x", zeros[:most/2]), file("y", zeros[:most/2]), file("z", "\x00"))),
		"a tar cut off":    tarOf(t, file("x", "xyz"))[:514],
		"no archive":       []byte(strings.Repeat("this is no archive", 100)),
		"half a zip":       []byte("PK\x03\x04"),
		"half a gzip":      {0x1f, 0x8b},
	} {
		if err := Check(bytes.NewReader(b), int64(len(b)), most); err == nil {
			t.Errorf("%s is not refused", name)
		}
	}
	for name, b := range map[string][]byte{"entries": tarOf(t, many[:maxEntries]...), "zipped entries": zipOf(t, many[:maxEntries]...), "bytes": gzipOf(t, tarOf(t, file("x", zeros)))} {
		if err := Check(bytes.NewReader(b), int64(len(b)), most); err != nil {
			t.Errorf("as many %s as may be: %v", name, err)
		}
	}
}

// Every cut of an archive within a file is seen, though nobody reads the file.
func TestEveryCutWithinAFileFails(t *testing.T) {
	whole := tarOf(t, file("a", strings.Repeat("a", 600)))
	for name, b := range map[string][]byte{"tar": whole[:512+600], "tar.gz": gzipOf(t, whole[:512+600]), "zip": zipOf(t, file("a", "aaaa"))} {
		for n := 1; n < len(b); n++ {
			if name == "tar.gz" && n > len(b)-8-9 {
				break // what is lost has nothing of the file
			}
			if err := Check(bytes.NewReader(b), int64(n), most); err == nil {
				t.Errorf("%s, cut after %d of %d bytes", name, n, len(b))
			}
		}
	}
}

func FuzzWalk(f *testing.F) {
	f.Add(tarOf(f, file("a/b", "c"), directory("d/")))
	f.Add(gzipOf(f, tarOf(f, file("a/b", "c"))))
	f.Add(zipOf(f, file("a/b", "c"), directory("d/")))
	f.Fuzz(func(t *testing.T, b []byte) {
		size, seen := 0, map[string]bool{}
		files, err := Walk(bytes.NewReader(b), int64(len(b)), most, func(e Entry, r io.Reader) error {
			if !fs.ValidPath(e.Path) || e.Path == "." || !e.Dir && seen[e.Path] {
				t.Errorf("%+v", e)
			}
			if e.Dir {
				return nil
			}
			seen[e.Path] = true
			n, err := io.Copy(io.Discard, r)
			size += int(n)
			return err
		})
		if size > most || err == nil && int(files) != len(seen) {
			t.Errorf("%d bytes, %d files of %d", size, files, len(seen))
		}
	})
}
