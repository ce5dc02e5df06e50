package payload

import (
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// I02: what is given back to the agent is the directory that was looked at, whatever the
// agent puts in its place meanwhile: a file may have another name elsewhere.
func TestI02_OnlyDirectoriesAreGivenBack(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give anything back")
	}
	dir := t.TempDir()
	d, f := filepath.Join(dir, "d"), filepath.Join(dir, "f")
	if err := os.Mkdir(d, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, nobody, -1); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var swapping sync.WaitGroup
	done := make(chan struct{})
	swapping.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if err := unix.Renameat2(unix.AT_FDCWD, d, unix.AT_FDCWD, f, unix.RENAME_EXCHANGE); err != nil {
				t.Error(err)
				return
			}
		}
	})
	r := Runner{Dir: dir, Log: slog.New(slog.DiscardHandler)}
	given := 0
	for range 5000 {
		r.giveBack(root)
		for _, name := range []string{d, f} {
			var st unix.Stat_t
			if err := unix.Lstat(name, &st); err != nil {
				t.Fatal(err)
			}
			if st.Uid == nobody && st.Mode&unix.S_IFMT == unix.S_IFDIR {
				given++
			} else if st.Uid == nobody {
				t.Fatal("a file was given away")
			}
			os.Lchown(name, 0, -1)
		}
	}
	close(done)
	swapping.Wait()
	if given == 0 {
		t.Error("nothing was given back")
	}
}
