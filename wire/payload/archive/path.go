package archive

import (
	"fmt"
	"path/filepath"
	"strings"
)

var errEntries = fmt.Errorf("it has more than %d entries", maxEntries)

// local returns the path of an entry below the directory, "." for that itself.
func (w *walker) local(name string) (string, error) {
	if w.entries++; w.entries > maxEntries {
		return "", errEntries
	}
	path := strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
	switch {
	case len(name) > maxPath:
		return "", fmt.Errorf("a path of %d bytes, limit is %d", len(name), maxPath)
	case path == "" || path == ".":
		return ".", nil
	case strings.ContainsAny(path, "\x00\\") || !filepath.IsLocal(path) || filepath.ToSlash(filepath.Clean(path)) != path:
		return "", fmt.Errorf("the path %q leads elsewhere, or is not written as it is", name)
	case strings.Count(path, "/") >= maxDepth:
		return "", fmt.Errorf("%q is deeper than %d directories", name, maxDepth)
	}
	for part := range strings.SplitSeq(path, "/") {
		if len(part) > maxName {
			return "", fmt.Errorf("%q has a name of %d bytes, limit is %d", name, len(part), maxName)
		}
	}
	return path, nil
}

// take notes what is at a path. A directory may be named again, and is there when
// something in it was named.
func (w *walker) take(path string, directory bool) error {
	if was, ok := w.kinds[path]; ok && !(was && directory) {
		return fmt.Errorf("%q is there twice", path)
	}
	w.kinds[path] = directory
	for i := range path {
		if path[i] != '/' {
			continue
		}
		if was, ok := w.kinds[path[:i]]; ok && !was {
			return fmt.Errorf("%q is below a file", path)
		}
		w.kinds[path[:i]] = true
	}
	return nil
}
