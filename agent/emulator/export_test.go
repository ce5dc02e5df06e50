package emulator

import "context"

// Hold calls do while it holds the machine's lock.
func (m *Machine) Hold(ctx context.Context, do func()) error {
	return m.alone(ctx, func() error { do(); return nil })
}
