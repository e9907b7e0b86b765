package selfhost

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Data is the data folder of one process:
//
//	objects/       the objects' storage, a folder for each class
//	capdo/lock     locked while a process serves; names the process
//	capdo/home     the cluster that the objects belong to
//	capdo/config.capnp   workerd's config
type Data struct {
	dir  string
	lock *os.File
}

var errHeld = errors.New("the file is locked")

// OpenData creates the folder if necessary, and locks it for the server at an
// address.
func OpenData(dir, address string) (*Data, error) {
	own := filepath.Join(dir, "capdo")
	for _, d := range []string{own, filepath.Join(dir, "objects")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("cannot store: %w"+
				"\nhint: with --data, choose a folder that this user can write to", err)
		}
	}
	f, err := os.OpenFile(filepath.Join(own, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot store: %w"+
			"\nhint: with --data, choose a folder that this user can write to", err)
	}
	if err := lockFile(f); err != nil {
		defer f.Close()
		if !errors.Is(err, errHeld) {
			return nil, fmt.Errorf("cannot lock %s: %w", f.Name(), err)
		}
		return nil, heldError(dir, f.Name())
	}
	err = errors.Join(os.WriteFile(filepath.Join(dir, ".gitignore"), []byte("*\n"), 0o600),
		f.Truncate(0), os.WriteFile(f.Name(),
			fmt.Appendf(nil, "%s\n%d\n", address, os.Getpid()), 0o600))
	if err != nil {
		f.Close()
		return nil, err
	}
	return &Data{dir, f}, nil
}

func heldError(dir, lock string) error {
	where := ""
	b, _ := os.ReadFile(lock)
	if address, pid, ok := strings.Cut(strings.TrimSpace(string(b)), "\n"); ok {
		where = fmt.Sprintf(", on %s (process %s)", address, pid)
	}
	return fmt.Errorf("another process serves with the data folder %s%s: with two processes, "+
		"each object would run twice"+
		"\nhint: stop that process first, or choose another folder with --data", dir, where)
}

// home names the bucket where the folder's objects live. It is empty if they
// live only in the folder.
type home struct {
	Bucket string `json:"bucket"`
}

// Claim records that the folder belongs to the cluster with that bucket; ""
// means a server alone. It fails if the folder belongs to another one.
func (d *Data) Claim(bucket string) error {
	path := filepath.Join(d.dir, "capdo", "home")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return d.claimNew(path, bucket)
	}
	if err != nil {
		return err
	}
	var was home
	if err := json.Unmarshal(b, &was); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	switch {
	case was.Bucket == bucket:
		return nil
	case was.Bucket == "":
		return d.beforeCluster()
	case bucket == "":
		return fmt.Errorf("the data folder %s belongs to a node of the cluster %s: "+
			"the objects are in the cluster's bucket, and the folder has copies of some"+
			"\nhint: serve with --cluster %[2]s, or start with an empty folder", d.dir, was.Bucket)
	}
	return fmt.Errorf("the data folder %s belongs to a node of another cluster, %s"+
		"\nhint: start a node of %s with an empty folder", d.dir, was.Bucket, bucket)
}

func (d *Data) claimNew(path, bucket string) error {
	if bucket != "" {
		if classes, _ := os.ReadDir(filepath.Join(d.dir, "objects")); len(classes) > 0 {
			return d.beforeCluster()
		}
	}
	b, err := json.Marshal(home{bucket})
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o600)
}

func (d *Data) beforeCluster() error {
	return fmt.Errorf("the data folder %s has objects of a server that ran alone: "+
		"a cluster does not take them over"+
		"\nhint: start the node with an empty folder; "+
		"docs/self-hosting.md explains how to move data", d.dir)
}

// Close unlocks the folder.
func (d *Data) Close() { d.lock.Close() }
