//go:build !js

package main

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"flow.internal/capdo/internal/build"
)

// coldStarts measures the first request of fresh processes. The peers take
// turns.
func (p *plan) coldStarts(
	ctx context.Context, b *builder, built map[string]map[string]string, r *Results, bar *progressbar.ProgressBar,
) error {
	bar.Describe("cold starts")
	all := slices.DeleteFunc(append([]*peer{emptyPeer}, p.peers...),
		func(s *peer) bool { return s == objectPeer })
	start, first, second := map[string][]float64{}, map[string][]float64{}, map[string][]float64{}
	for range p.cold {
		for _, peer := range all {
			bar.Add(1)
			times, err := b.coldStart(ctx, peer, built[peer.Name])
			if err != nil {
				return fmt.Errorf("%s: %w", peer.Name, err)
			}
			start[peer.Name] = append(start[peer.Name], times[0])
			first[peer.Name] = append(first[peer.Name], times[1])
			second[peer.Name] = append(second[peer.Name], times[2])
		}
	}
	for _, peer := range all {
		f := first[peer.Name]
		r.Cold = append(r.Cold, Cold{
			Peer: peer.Name, Start: median(start[peer.Name]), Second: median(second[peer.Name]),
			First: median(f), FirstLow: slices.Min(f), FirstHigh: slices.Max(f),
		})
	}
	return nil
}

// coldStart returns the time until a process listens, and the times of its
// first two requests, in µs.
func (b *builder) coldStart(
	ctx context.Context, p *peer, modules map[string]string,
) (us [3]float64, err error) {
	begin := time.Now()
	s, err := b.start(ctx, p, modules, false)
	if err != nil {
		return us, err
	}
	defer s.stop()
	for i := range us {
		us[i] = micros(time.Since(begin))
		if i == len(us)-1 {
			break
		}
		begin = time.Now()
		if err := s.hello(0, 0); err != nil {
			return us, err
		}
	}
	return us, nil
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[len(v)/2] + v[(len(v)-1)/2]) / 2
}

// sizes builds the programs whose size is reported: with go build, or with
// capdo build.
func (b *builder) sizes(ctx context.Context) ([]Size, error) {
	var sizes []Size
	for _, p := range []struct {
		title, dir string
		capdo      bool
	}{
		{"an empty Go program", "bench/peers/empty", false},
		{"a Worker that only dedupes", "bench/peers/dedupe", true},
		{"the peer with HandleFetch", "bench/peers/handlefetch", true},
		{"the peer with net/http", "bench/peers/nethttp", true},
		{"the peer with a runtime per object", "bench/peers/simple", false},
		{"examples/harness", "examples/harness", true},
	} {
		size := b.sizeOfGo
		if p.capdo {
			size = b.sizeOfCapdo
		}
		raw, gz, err := size(ctx, filepath.Join(b.root, p.dir))
		if err != nil {
			return nil, err
		}
		sizes = append(sizes, Size{p.title, raw, gz})
	}
	return sizes, nil
}

func (b *builder) sizeOfCapdo(ctx context.Context, dir string) (raw, gz int, err error) {
	r, err := build.Run(ctx, dir, filepath.Join(b.dir, "size"), nil)
	if err != nil {
		return 0, 0, err
	}
	return r.Size, r.SizeGz, nil
}

func (b *builder) sizeOfGo(ctx context.Context, dir string) (raw, gz int, err error) {
	file := filepath.Join(b.dir, "size.wasm")
	if err := compile(ctx, dir, file); err != nil {
		return 0, 0, err
	}
	wasm, err := os.ReadFile(file)
	if err != nil {
		return 0, 0, err
	}
	var compressed counter
	z := gzip.NewWriter(&compressed)
	z.Write(wasm)
	z.Close()
	return len(wasm), int(compressed), nil
}

type counter int

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

// memory returns the memory of the process, and how much of it belongs to Go.
func (s *server) memory() (m Memory, err error) {
	m.Peer = s.Name
	if m.Resident, err = residentOf(s.PID()); err != nil || s.Go == "" {
		return m, err
	}
	b, err := s.send("GET", "/memory", nil)
	if err == nil {
		err = json.Unmarshal(b, &m.Wasm)
	}
	return m, err
}

// versions describes the versions and the machine of the run.
func versions(b *builder) []string {
	out, _ := exec.Command(b.workerd, "--version").Output()
	list := []string{runtime.Version(), strings.TrimSpace(string(out)),
		runtime.GOOS + "/" + runtime.GOARCH, fmt.Sprintf("%d processors", runtime.NumCPU())}
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return append(list, strings.TrimSpace(value))
		}
	}
	return list
}
