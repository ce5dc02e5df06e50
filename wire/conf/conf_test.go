package conf

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quicklime/wire/pcr"
)

// settings has an option of each kind.
type settings struct {
	Listen  string     `toml:"listen"`
	Gap     Duration   `toml:"challenge_gap"`
	Workers int        `toml:"workers"`
	Port    uint16     `toml:"port"`
	Debug   bool       `toml:"debug"`
	Bank    pcr.Bank   `toml:"lowest_bank"`
	Hosts   []string   `toml:"hosts"`
	Banks   []pcr.Bank `toml:"banks"`
	Sizes   []int      `toml:"sizes"`
	Rules   []rule     `toml:"rules"`
	TLS     struct {
		Dir    string   `toml:"dir"`
		Expiry Duration `toml:"expiry"`
	} `toml:"tls"`
	Ignored func() `toml:"-"`
}

type rule struct {
	ID    string `toml:"id"`
	Level int    `toml:"level"`
}

func defaults() settings { return settings{Listen: "127.0.0.1:8881", Hosts: []string{"localhost"}} }

// write makes files, by their names under a new directory with a layer for the
// package and one for the administrator.
func write(t *testing.T, files map[string]string) Dirs {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o700); err != nil {
		t.Fatal(err)
	}
	return Dirs{Vendor: filepath.Join(root, "usr"), System: filepath.Join(root, "etc")}
}

func TestEveryKind(t *testing.T) {
	const doc = `
# a comment
listen = "0.0.0.0:8881"
challenge_gap = "1m30s"
workers = -4
port = 8_881
debug = true
lowest_bank = "sha384"
hosts = ["a", 'b',
  "c", # one each
]
banks = ["sha1", "sha256"]
sizes = [1, 0x10]
rules = [{id = "a", level = 1},
  {level = 2, id = 'b, c'}]
[tls]
dir = "/var/lib"
expiry = "5s"
`
	environ := []string{
		"QUICKLIME_VERIFIER_LISTEN=0.0.0.0:8881",
		"QUICKLIME_VERIFIER_CHALLENGE_GAP=1m30s",
		"QUICKLIME_VERIFIER_WORKERS=-4",
		"QUICKLIME_VERIFIER_PORT=8881",
		"QUICKLIME_VERIFIER_DEBUG=true",
		"QUICKLIME_VERIFIER_LOWEST_BANK=sha384",
		"QUICKLIME_VERIFIER_HOSTS=a, b,c,",
		"QUICKLIME_VERIFIER_BANKS=sha1,sha256",
		"QUICKLIME_VERIFIER_SIZES=1,16",
		`QUICKLIME_VERIFIER_RULES=[{id = "a", level = 1}, {id = "b, c", level = 2}]`,
		"QUICKLIME_VERIFIER_TLS_DIR=/var/lib",
		"QUICKLIME_VERIFIER_TLS_EXPIRY=5s",
		"QUICKLIME_REGISTRAR_NONSENSE=of another component",
		"PATH=/bin",
	}
	want := settings{
		Listen: "0.0.0.0:8881", Gap: Duration(90 * time.Second), Workers: -4, Port: 8881, Debug: true,
		Bank: pcr.SHA384, Hosts: []string{"a", "b", "c"}, Banks: []pcr.Bank{pcr.SHA1, pcr.SHA256}, Sizes: []int{1, 16},
		Rules: []rule{{"a", 1}, {"b, c", 2}},
	}
	want.TLS.Dir, want.TLS.Expiry = "/var/lib", Duration(5*time.Second)

	fromFile, fromEnviron := defaults(), defaults()
	if err := Load("verifier", write(t, map[string]string{"etc/verifier.toml": doc}), nil, &fromFile); err != nil {
		t.Fatal(err)
	}
	if err := Load("verifier", write(t, nil), environ, &fromEnviron); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, fromFile); diff != "" {
		t.Error("file:", diff)
	}
	if diff := cmp.Diff(want, fromEnviron); diff != "" {
		t.Error("environment:", diff)
	}
}

// Not every cut of a file shows, but no option gets a value that nobody wrote.
func TestEveryCutOfAFileGivesWholeValues(t *testing.T) {
	const doc = `listen = "0.0.0.0:8881"
challenge_gap = "1m30s"
debug = true
lowest_bank = "sha384"
hosts = ["a.example", 'b',
  "c"]
banks = ["sha1", "sha256"]
[tls]
dir = "/var/lib"
expiry = "5s"
`
	dirs := write(t, map[string]string{"etc/verifier.toml": doc})
	var whole settings
	if err := Load("verifier", dirs, nil, &whole); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dirs.System, "verifier.toml")
	for n := range doc {
		if err := os.WriteFile(file, []byte(doc[:n]), 0o600); err != nil {
			t.Fatal(err)
		}
		var got settings
		if Load("verifier", dirs, nil, &got) != nil {
			continue
		}
		for name, ok := range map[string]bool{
			"listen":        got.Listen == "" || got.Listen == whole.Listen,
			"challenge_gap": got.Gap == 0 || got.Gap == whole.Gap,
			"lowest_bank":   got.Bank == 0 || got.Bank == whole.Bank,
			"hosts":         got.Hosts == nil || slices.Equal(got.Hosts, whole.Hosts),
			"banks":         got.Banks == nil || slices.Equal(got.Banks, whole.Banks),
			"tls.dir":       got.TLS.Dir == "" || got.TLS.Dir == whole.TLS.Dir,
			"tls.expiry":    got.TLS.Expiry == 0 || got.TLS.Expiry == whole.TLS.Expiry,
		} {
			if !ok {
				t.Errorf("%s has half a value in %q", name, doc[:n])
			}
		}
	}
}

// TestPrecedence takes one layer after another away, from the top.
func TestPrecedence(t *testing.T) {
	layers := []struct{ file, from string }{
		{"etc/verifier.toml.d/20-b.toml", "second drop-in"},
		{"etc/verifier.toml.d/10-a.toml", "first drop-in"},
		{"etc/verifier.toml", "administrator"},
		{"usr/verifier.toml", "package"},
	}
	files := map[string]string{
		"etc/verifier.toml.d/30-c.toml~": "listen = 'editor backup'",
		"etc/registrar.toml":             "listen = 'another component'",
		"usr/verifier.toml.d/a.toml":     "listen = 'the package has no drop-ins'",
	}
	for _, l := range layers {
		files[l.file] = "listen = '" + l.from + "'\n"
	}
	dirs := write(t, files)
	check := func(want string, environ ...string) {
		t.Helper()
		s := defaults()
		if err := Load("verifier", dirs, environ, &s); err != nil {
			t.Fatal(err)
		}
		if s.Listen != want {
			t.Errorf("listen is from %q, want %q", s.Listen, want)
		}
	}
	check("environment", "QUICKLIME_VERIFIER_LISTEN=environment")
	for _, l := range layers {
		check(l.from)
		if err := os.Remove(filepath.Join(filepath.Dir(dirs.System), l.file)); err != nil {
			t.Fatal(err)
		}
	}
	check("127.0.0.1:8881")
}

func TestLayersLeaveOtherOptionsAlone(t *testing.T) {
	dirs := write(t, map[string]string{
		"usr/verifier.toml":             "workers = 2\nhosts = ['a', 'b', 'c']\nrules = [{id = 'a', level = 1}, {id = 'b', level = 2}]\n[tls]\ndir = 'd'\nexpiry = '1s'",
		"etc/verifier.toml.d/site.toml": "hosts = ['z']\nrules = [{id = 'z', level = 3}]\ntls.expiry = '2s'",
	})
	var got settings
	if err := Load("verifier", dirs, nil, &got); err != nil {
		t.Fatal(err)
	}
	want := settings{Workers: 2, Hosts: []string{"z"}, Rules: []rule{{"z", 3}}}
	want.TLS.Dir, want.TLS.Expiry = "d", Duration(2*time.Second)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFileErrors(t *testing.T) {
	tests := []struct{ name, doc, want string }{
		{"unknown option", "\n\nlisten = 'a'\nbase = 1\n", `verifier.toml:4: unknown option "base"`},
		{"misspelt option", "listn = 'a'", `:1: unknown option "listn"; did you mean "listen"?`},
		{"another case", "Listen = 'a'", `:1: unknown option "Listen"; did you mean "listen"?`},
		{"unknown option in a table", "[tls]\n\ndri = 'a'", `:3: unknown option "tls.dri"; did you mean "tls.dir"?`},
		{"unknown option in an inline table", "tls = {dir = 'a', zz = 1}", `:1: unknown option "tls.zz"`},
		{"unknown table", "\n[tlss]\ndir = 'a'", `:2: unknown table [tlss]; did you mean "tls"?`},
		{"table below an option", "[listen.x]\n", ":1: unknown table [listen.x]"},
		{"table that is an option", "[listen]\n", ":1: listen is written as another kind of table"},
		{"list of tables", "[[tls]]\ndir = 'a'", ":1: tls is written as another kind of table"},
		{"every mistake at once", "a = 1\nb = 1", `:2: unknown option "b"`},
		{"number for a string", "listen = 8881", ":1: listen must be a string, not an integer"},
		{"number for a length of time", "challenge_gap = 5", ":1: challenge_gap must be a string, not an integer"},
		{"number for a bank", "lowest_bank = 4", ":1: lowest_bank must be a string, not an integer"},
		{"length of time without unit", "\nchallenge_gap = '5'", `:2: challenge_gap: "5" is no length of time`},
		{"negative length of time", "challenge_gap = '-5s'", `"-5s" is no length of time`},
		{"string for a number", "workers = '4'", ":1: workers must be an integer, not a string"},
		{"fraction", "workers = 1.5", ":1: workers must be an integer, not a fraction"},
		{"date", "listen = 1979-05-27", ":1: listen must be a string, not a date or time"},
		{"string for a switch", "debug = 'yes'", ":1: debug must be true or false, not a string"},
		{"number out of range", "\nport = 65536", ":2: port: "},
		{"value for a list", "hosts = 'a'", ":1: hosts must be a list, not a string"},
		{"list for a value", "listen = ['a']", ":1: listen must be a string, not a list"},
		{"wrong value in a list", "hosts = ['a', 5]", ":1: hosts must be a list of which each is a string, not an integer"},
		{"unknown bank in a list", "banks = ['sha1', 'md5']", `:1: banks: PCR bank "md5"`},
		{"value in a list of tables", "\nrules = ['a']", ":2: rules must be a list of tables {id, level}, not of a string"},
		{"unknown member in a list of tables", "rules = [{id = 'a', levl = 1}]", `:1: unknown option "levl" in rules; did you mean "level"?`},
		{"wrong value in a list of tables", "rules = [{id = 1, level = 1}]", ":1: id in rules must be a string, not an integer"},
		{"member left out in a list of tables", "rules = [{id = 'a'}]", ":1: rules has an element without level"},
		{"list of tables as tables", "[[rules]]\nid = 'a'", ":1: rules is written as another kind of table"},
		{"value for a table", "tls = 5", ":1: tls is a table, not an integer"},
		{"told twice", "workers = 1\nworkers = 2", ":2: workers: key workers is already defined"},
		{"no TOML", "workers = 1\nlisten", ":2: "},
		{"too large", strings.Repeat("#", maxFile+1), "larger than 1048576 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dirs := write(t, map[string]string{"etc/verifier.toml": tt.doc})
			var s settings
			err := Load("verifier", dirs, nil, &s)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "etc/verifier.toml") {
				t.Errorf("error is %v, want one of etc/verifier.toml with %q", err, tt.want)
			}
		})
	}
}

// An unknown table is one mistake, not one for each of its keys, and does not
// hide those of the next table.
func TestUnknownTableIsOneMistake(t *testing.T) {
	dirs := write(t, map[string]string{"etc/verifier.toml": "[nonsense]\na = 1\nb = 2\n[tls]\nc = 3"})
	var s settings
	err := Load("verifier", dirs, nil, &s)
	if err == nil {
		t.Fatal("no error")
	}
	file := filepath.Join(dirs.System, "verifier.toml")
	want := file + ":1: unknown table [nonsense]\n" + file + `:5: unknown option "tls.c"`
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
}

func TestUnreadableIsAnError(t *testing.T) {
	dirs := write(t, map[string]string{"etc/verifier.toml/x": "", "usr/registrar.toml": "", "etc/registrar.toml.d": ""})
	for _, component := range []string{"verifier", "registrar"} { // a directory for a file, a file for a directory
		var s settings
		if err := Load(component, dirs, nil, &s); err == nil {
			t.Errorf("%s: no error", component)
		}
	}
}

func TestEnvironErrors(t *testing.T) {
	tests := []struct{ variable, want string }{
		{"QUICKLIME_VERIFIER_LISTN=a", "QUICKLIME_VERIFIER_LISTN: unknown option; did you mean \"QUICKLIME_VERIFIER_LISTEN\"?"},
		{"QUICKLIME_VERIFIER_listen=a", "unknown option"},
		{"QUICKLIME_VERIFIER_=a", "unknown option"},
		{"QUICKLIME_VERIFIER_WORKERS=four", "QUICKLIME_VERIFIER_WORKERS: want an integer"},
		{"QUICKLIME_VERIFIER_WORKERS=", "want an integer"},
		{"QUICKLIME_VERIFIER_PORT=65536", "out of range"},
		{"QUICKLIME_VERIFIER_PORT=-1", "want an integer"},
		{"QUICKLIME_VERIFIER_DEBUG=yes", "want true or false"},
		{"QUICKLIME_VERIFIER_CHALLENGE_GAP=5", "no length of time"},
		{"QUICKLIME_VERIFIER_RULES=a", "want a list of tables"},
		{"QUICKLIME_VERIFIER_RULES=[]\nlisten = 'a'", `unknown option "listen"`},
		{"QUICKLIME_VERIFIER_BANKS=sha1,md5", `PCR bank "md5"`},
	}
	for _, tt := range tests {
		var s settings
		err := Load("verifier", Dirs{}, []string{tt.variable}, &s)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error is %v, want one with %q", tt.variable, err, tt.want)
		}
	}
}

func TestStructErrors(t *testing.T) {
	tests := []struct {
		into any
		want string
	}{
		{settings{}, "want a pointer to a struct"},
		{new(int), "want a pointer to a struct"},
		{&struct{ Listen string }{}, "want a toml tag"},
		{&struct {
			Listen string `toml:"Listen"`
		}{}, "want a toml tag"},
		{&struct {
			M map[string]string `toml:"m"`
		}{}, "is not supported"},
		{&struct {
			L []struct {
				Of []string `toml:"of"`
			} `toml:"l"`
		}{}, "is not supported"},
		{&struct {
			W word `toml:"w"`
		}{}, "is not supported"},
		{&struct {
			A string `toml:"tls_dir"`
			B struct {
				C string `toml:"dir"`
			} `toml:"tls"`
		}{}, "have the same environment variable QUICKLIME_VERIFIER_TLS_DIR"},
	}
	for _, tt := range tests {
		err := Load("verifier", Dirs{}, nil, tt.into)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%T: error is %v, want one with %q", tt.into, err, tt.want)
		}
	}
}

// word is a string that wants to be asked; go-toml does not ask it.
type word string

func (*word) UnmarshalText([]byte) error { return nil }

func TestNamedDirectoryMustExist(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Join(t.TempDir(), "absent"), file} {
		if err := Load("verifier", Dirs{System: dir}, nil, new(settings)); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, s := range []string{"listen = 'a'", "[tls]\ndir = 'a'\n", "tls = {dir = 'a'}", "hosts = [1, 'a', [2]]", "a.b.c = 1", "[[x]]\n", "\"\".x = 1", "x = {", "= 1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		name := filepath.Join(t.TempDir(), "verifier.toml")
		if err := os.WriteFile(name, doc, 0o600); err != nil {
			t.Fatal(err)
		}
		var s settings
		if err := Load("verifier", Dirs{Vendor: filepath.Dir(name)}, nil, &s); err != nil && !strings.Contains(err.Error(), name) {
			t.Errorf("error does not name the file: %v", err)
		}
	})
}
