package gotest

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// flags are the flags of the test program that also concern its runner.
type flags struct {
	timeout time.Duration
	outputs []string // files and folders that the program writes for go test; not nil
	dirs    []string // the folders among outputs
}

// outputFlags name files or folders that the program writes. -test.testlogfile
// is not among them. From it, go test would learn what the result depends on,
// to cache it. But workerd and the wrangler config are not in that list, so
// results must not be cached.
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
			return f, fmt.Errorf("-cpuprofile does not work with GOARCH=wasm: " +
				"Go has no CPU profiler there" +
				"\nhint: leave it out; -bench, -benchmem and -memprofile work")
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
