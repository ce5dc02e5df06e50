package policy

import (
	"bytes"
	"encoding/json"

	"quicklime/wire/strictjson"
)

// A scanner reads the shape that digests have in every policy that is in order,
// straight from the text: encoding/json takes some microseconds for each path, and
// a policy may have a million. It has no errors: at anything else than
//
//	: {path: [digest, …], …}
//
// it stops, and the reader reads the same text again, to say what is wrong.
type scanner struct {
	text []byte
	at   int
	sums sums // of the last array; used again for the next
}

// take reads white space and c.
func (s *scanner) take(c byte) bool {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case c:
			s.at++
			return true
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return false
		}
	}
	return false
}

// str reads a string.
func (s *scanner) str() ([]byte, bool) {
	if !s.take('"') {
		return nil, false
	}
	for i := s.at; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '"':
			str := s.text[s.at:i]
			s.at = i + 1
			return str, true
		case c == '\\':
			return s.escaped(i)
		case c < ' ':
			return nil, false
		}
	}
	return nil, false
}

// escaped reads a string, whose first escape is at i, to its end.
func (s *scanner) escaped(i int) ([]byte, bool) {
	from := s.at - 1
	for ; i < len(s.text) && s.text[i] != '"'; i++ {
		if s.text[i] == '\\' {
			i++
		}
	}
	if i >= len(s.text) {
		return nil, false
	}
	s.at = i + 1
	var str string
	raw := s.text[from:s.at]
	if json.Unmarshal(raw, &str) != nil || strictjson.Halved(raw) {
		return nil, false
	}
	return []byte(str), true
}

// list reads an array of digests, which are valid until the next call.
func (s *scanner) list() (sums, bool) {
	s.sums = s.sums[:0]
	if !s.take('[') {
		return nil, false
	}
	if s.take(']') {
		return s.sums, true
	}
	for {
		text, ok := s.str()
		if !ok {
			return nil, false
		}
		var err error
		if s.sums, err = appendHex(s.sums, text); err != nil {
			return nil, false
		}
		if s.take(']') {
			return s.sums, true
		}
		if !s.take(',') {
			return nil, false
		}
	}
}

// scanDigests reads the value of digests with a scanner. If it is false, nothing
// was read.
func (p *parser) scanDigests() bool {
	if p.dead || p.paths > 0 {
		return false
	}
	s := scanner{text: p.text, at: p.offset()}
	q := parser{reader: &reader{members: p.members, err: &Error{}}, files: table{seed: p.files.seed}}
	if !s.take(':') || !s.take('{') || !q.scanMembers(&s) || len(q.err.Problems) > 0 {
		return false
	}
	p.files, p.joined, p.paths, p.members = q.files, q.joined, q.paths, q.members
	p.resume(s.at)
	return true
}

// scanMembers reads an object of digests from behind its opening brace to its end.
func (p *parser) scanMembers(s *scanner) bool {
	made := make(map[string]bool) // names that the kernel makes of others, and that are not listed themselves
	if s.take('}') {
		return true
	}
	for p.scanMember(s, made) {
		if s.take('}') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
	return false
}

func (p *parser) scanMember(s *scanner, made map[string]bool) bool {
	path, ok := s.str()
	if !ok || checkPath(path) != nil || !s.take(':') || p.members == MaxMembers {
		return false
	}
	list, ok := s.list()
	if !ok {
		return false
	}
	if _, listed := p.files.find(path); listed && !made[string(path)] {
		return false // it is there twice
	}
	delete(made, string(path))
	if written := asWritten(path); !bytes.Equal(written, path) {
		if _, listed := p.files.find(written); !listed {
			made[string(written)] = true
		}
	}
	p.members++
	p.paths++
	p.list(path, list)
	return true
}
