package gotest

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// flags are those of the test program's that concern who runs it.
type flags struct {
	timeout time.Duration
	outputs []string // files and folders that the program writes for go test; not nil
	dirs    []string // of these, the folders
}

// outputFlags name files or folders that the program writes. Not
// -test.testlogfile, from which go test would learn what the result depends on,
// to cache it: that list does not have workerd and the wrangler config in it,
// so results are not cached.
var outputFlags = map[string]bool{
	"coverprofile": true, "gocoverdir": true, "outputdir": true, "memprofile": true,
	"blockprofile": true, "mutexprofile": true, "trace": true,
}

func parseFlags(args []string) (f flags, err error) {
	f.outputs = []string{}
	dir := ""
	for _, a := range args {
		name, value, _ := strings.Cut(strings.TrimPrefix(a, "-test."), "=")
		switch {
		case name == "timeout":
			if f.timeout, err = time.ParseDuration(value); err != nil {
				return f, fmt.Errorf("-timeout: %w", err)
			}
		case name == "cpuprofile":
			return f, fmt.Errorf("-cpuprofile does not work for GOARCH=wasm: Go has no CPU profiler there\nhint: leave it out; -bench, -benchmem and -memprofile work")
		case outputFlags[name] && value != "":
			f.outputs = append(f.outputs, value)
			if strings.HasSuffix(name, "dir") {
				f.dirs = append(f.dirs, value)
			}
			if name == "outputdir" {
				dir = value
			}
		}
	}
	for i, path := range f.outputs {
		if !filepath.IsAbs(path) && dir != "" {
			f.outputs[i] = filepath.Join(dir, path)
		}
	}
	return f, nil
}
