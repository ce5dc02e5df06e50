// Package conf reads a program's configuration into a struct and refuses what
// it does not understand.
//
// The sources, each overriding the ones before it, option by option:
//
//	what the struct holds already           the built-in defaults
//	/usr/lib/quicklime/COMPONENT.toml       the package's
//	/etc/quicklime/COMPONENT.toml           the administrator's
//	/etc/quicklime/COMPONENT.toml.d/*.toml  drop-ins, in the order of their names
//	QUICKLIME_COMPONENT_OPTION              the environment
//
// An option is a field with a toml tag; a struct in the struct is a table. A
// field is a string, a bool, an integer, anything that implements
// encoding.TextUnmarshaler, a list of these, or a list of structs, whose fields are
// all there in each: [{name = "value", …}, …]. In the environment the names of
// tables and option are joined by "_" in capitals, and a list is separated by
// commas; one of structs is written as in a file. A later list replaces an earlier one.
//
// An option that the struct does not have, in a file or in the environment, is
// an error, and so is a value of another type. Files are TOML 1.0; names are
// compared to the letter.
package conf

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// maxFile bounds a configuration file: the shipped ones, which are mostly
// comments, have some ten thousand bytes.
const maxFile = 1 << 20 // bytes

// Dirs says where the files are. An empty name leaves its layer out.
type Dirs struct {
	Vendor string // of the package
	System string // of the administrator, with the drop-ins; it must exist unless it is the default
}

// DefaultDirs is where an installed program looks.
var DefaultDirs = Dirs{Vendor: "/usr/lib/quicklime", System: "/etc/quicklime"}

// Load reads the configuration of component ("verifier") into the struct that
// into points to and that holds the defaults. environ is os.Environ(). A file
// that does not exist is left out; one that cannot be read is an error. An error
// about what a file says begins with its name and line.
func Load(component string, dirs Dirs, environ []string, into any) error {
	opts, err := optionsOf(into)
	if err != nil {
		return err
	}
	files, err := dirs.files(component + ".toml")
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	for _, f := range files {
		if err := loadFile(f, opts, into); err != nil {
			return err
		}
	}
	return opts.loadEnviron(component, environ)
}

// checkSystem refuses a directory that somebody named and that is not there: a
// slip of the pen must not start a program on its defaults.
func (d Dirs) checkSystem() error {
	if d.System == DefaultDirs.System {
		return nil
	}
	st, err := os.Stat(d.System)
	if err == nil && !st.IsDir() {
		err = fmt.Errorf("%s is not a directory", d.System)
	}
	return err
}

// files lists the files that may exist, lowest first.
func (d Dirs) files(name string) (files []string, err error) {
	if d.Vendor != "" {
		files = append(files, filepath.Join(d.Vendor, name))
	}
	if d.System == "" {
		return files, nil
	}
	if err := d.checkSystem(); err != nil {
		return nil, err
	}
	files = append(files, filepath.Join(d.System, name))
	dropins := filepath.Join(d.System, name+".d")
	entries, err := os.ReadDir(dropins) // sorted by name
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".toml") {
			files = append(files, filepath.Join(dropins, e.Name()))
		}
	}
	return files, nil
}

func loadFile(name string, opts options, into any) error {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	doc, err := readAll(f, name, maxFile)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if err := opts.check(name, doc); err != nil {
		return err
	}
	err = toml.NewDecoder(bytes.NewReader(doc)).DisallowUnknownFields().Decode(into)
	if e, ok := errors.AsType[*toml.DecodeError](err); ok {
		line, _ := e.Position()
		what := strings.TrimPrefix(e.Error(), "toml: ")
		if key := strings.Join(e.Key(), "."); key != "" {
			what = key + ": " + what
		}
		return fmt.Errorf("%s:%d: %s", name, line, what)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
