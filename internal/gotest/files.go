package gotest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// fileIndex lists the folders and files that testfs.mjs creates.
type fileIndex struct {
	Cwd   string      `json:"cwd"`
	Dirs  []string    `json:"dirs"`
	Files []fileEntry `json:"files"`
}

type fileEntry struct {
	Path  string `json:"path"`
	Size  int    `json:"size"`
	Mtime int64  `json:"mtime"` // in ms
	Mode  uint32 `json:"mode"`
}

// maxFiles limits the files that a test can use, in bytes.
const maxFiles = 64 << 20

// packFiles packs the files in a package's folder, and everything in its
// testdata. The index also lists the folders of the program's output.
func packFiles(dir string, f flags) (*fileIndex, []byte, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, nil, err
	}
	p := &packer{index: fileIndex{Cwd: dir, Dirs: append([]string{}, f.dirs...),
		Files: []fileEntry{}}}
	for _, path := range f.outputs {
		p.index.Dirs = append(p.index.Dirs, filepath.Dir(path))
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if e.Name() == "testdata" && isDir(path) {
			err = p.addDir(path, nil)
		} else {
			err = p.add(path)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return &p.index, p.content, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

type packer struct {
	index   fileIndex
	content []byte
}

// addDir adds a folder with everything in it. It follows links, except a link
// to a folder that contains it.
func (p *packer) addDir(path string, around []fs.FileInfo) error {
	info, err := os.Stat(path)
	if err != nil || slices.ContainsFunc(around,
		func(i fs.FileInfo) bool { return os.SameFile(i, info) }) {
		return err
	}
	p.index.Dirs = append(p.index.Dirs, path)
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	around = append(slices.Clone(around), info)
	for _, e := range entries {
		child := filepath.Join(path, e.Name())
		add := p.add
		if isDir(child) {
			add = func(path string) error { return p.addDir(path, around) }
		}
		if err := add(child); err != nil {
			return err
		}
	}
	return nil
}

// add adds a regular file or a link to one, and skips everything else.
func (p *packer) add(path string) error {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	if int64(len(p.content))+info.Size() > maxFiles {
		return fmt.Errorf("the files of the package, with testdata, exceed %d MiB, "+
			"the limit for a test in workerd (at %s)"+
			"\nhint: keep large files out of testdata, or generate them in the test",
			maxFiles>>20, path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	p.content = append(p.content, b...)
	p.index.Files = append(p.index.Files,
		fileEntry{path, len(b), info.ModTime().UnixMilli(), uint32(info.Mode().Perm())})
	return nil
}
