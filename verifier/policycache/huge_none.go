//go:build !linux

package policycache

import "errors"

func adviseHuge([]byte) error { return errors.ErrUnsupported }
