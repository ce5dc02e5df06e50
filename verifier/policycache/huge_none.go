//go:build !linux

package policycache

import "errors"

func memory() uint64 { return 0 }

func adviseHuge([]byte) error { return errors.ErrUnsupported }
