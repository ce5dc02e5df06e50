package conf

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// tagName is what an option or a table may be called.
var tagName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// form is how an option is written in TOML.
type form string

const (
	formString  form = "a string"
	formBool    form = "true or false"
	formInteger form = "an integer"
)

// option is one setting of a program.
type option struct {
	value reflect.Value // where it goes
	form  form          // of one value
	list  bool          // value is a slice of them

	fields map[string]form // value is a slice of structs with these, and form is empty; nil: it is not
}

// words says what is wanted of one value.
func (o option) words() string {
	if o.fields != nil {
		return "a list of tables"
	}
	return string(o.form)
}

// options are all settings of a program, by their names with those of their
// tables: "session.challenge_gap".
type options struct {
	byName map[string]option
	tables map[string]bool
}

// optionsOf lists the options of the struct that into points to.
func optionsOf(into any) (options, error) {
	o := options{map[string]option{}, map[string]bool{}}
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return o, fmt.Errorf("configuration of type %T, want a pointer to a struct", into)
	}
	return o, o.addTable("", v.Elem())
}

// addTable adds the fields of the struct v, whose names begin with prefix.
func (o options) addTable(prefix string, v reflect.Value) error {
	for f, field := range v.Fields() {
		if !f.IsExported() || f.Tag.Get("toml") == "-" {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		if !tagName.MatchString(name) {
			return fmt.Errorf("field %s.%s: want a toml tag of a–z, 0–9 and _, have %q", v.Type(), f.Name, name)
		}
		if err := o.addField(prefix+name, field); err != nil {
			return err
		}
	}
	return nil
}

func (o options) addField(name string, v reflect.Value) error {
	if f, ok := formOf(v.Type()); ok {
		o.byName[name] = option{value: v, form: f}
		return nil
	}
	if v.Kind() == reflect.Slice {
		if f, ok := formOf(v.Type().Elem()); ok {
			o.byName[name] = option{value: v, form: f, list: true}
			return nil
		}
		if fields, err := fieldsOf(v.Type().Elem()); err == nil {
			o.byName[name] = option{value: v, list: true, fields: fields}
			return nil
		}
	}
	if v.Kind() == reflect.Struct {
		o.tables[name] = true
		return o.addTable(name+".", v)
	}
	return fmt.Errorf("option %s: type %s is not supported", name, v.Type())
}

// fieldsOf says how the fields of a struct are written that is an element of a list.
func fieldsOf(t reflect.Type) (map[string]form, error) {
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("type %s is not supported", t)
	}
	element := options{map[string]option{}, map[string]bool{}}
	if err := element.addTable("", reflect.New(t).Elem()); err != nil {
		return nil, err
	}
	fields := map[string]form{}
	for name, o := range element.byName {
		if o.list || strings.Contains(name, ".") {
			return nil, fmt.Errorf("field %s of %s is not supported", name, t)
		}
		fields[name] = o.form
	}
	return fields, nil
}

// formOf says how a value of type t is written, or false if it is no option.
func formOf(t reflect.Type) (form, bool) {
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return formString, t.Kind() != reflect.String // go-toml sets a string and does not ask its UnmarshalText
	}
	switch {
	case t.Kind() == reflect.String:
		return formString, true
	case t.Kind() == reflect.Bool:
		return formBool, true
	case reflect.Zero(t).CanInt() || reflect.Zero(t).CanUint():
		return formInteger, true
	}
	return "", false
}

// set reads s, as the environment has it, into the option.
func (o option) set(s string) error {
	if o.fields != nil {
		return o.setTables(s)
	}
	if !o.list {
		return setText(o.value, s)
	}
	list := reflect.MakeSlice(o.value.Type(), 0, 0)
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		v := reflect.New(o.value.Type().Elem()).Elem()
		if err := setText(v, part); err != nil {
			return err
		}
		list = reflect.Append(list, v)
	}
	o.value.Set(list)
	return nil
}

// setTables reads a list of structs as it is written in a file.
func (o option) setTables(s string) error {
	alone := reflect.New(reflect.StructOf([]reflect.StructField{{Name: "Value", Type: o.value.Type(), Tag: `toml:"value"`}}))
	opts, err := optionsOf(alone.Interface())
	if err != nil {
		return err
	}
	doc := []byte("value = " + s)
	if err := opts.check("value", doc); err != nil {
		return err
	}
	if err := toml.Unmarshal(doc, alone.Interface()); err != nil {
		return err
	}
	o.value.Set(alone.Elem().Field(0))
	return nil
}

func setText(v reflect.Value, s string) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(s))
	}
	switch {
	case v.Kind() == reflect.Bool:
		b, err := strconv.ParseBool(s)
		v.SetBool(b)
		return err
	case v.CanInt():
		n, err := strconv.ParseInt(s, 10, v.Type().Bits())
		v.SetInt(n)
		return err
	case v.CanUint():
		n, err := strconv.ParseUint(s, 10, v.Type().Bits())
		v.SetUint(n)
		return err
	}
	v.SetString(s)
	return nil
}
