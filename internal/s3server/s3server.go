// Package s3server runs an S3-compatible server on this machine, to try out and
// test clusters. The server is versitygw (Apache-2.0), which stores objects as
// files.
//
// versitygw is not a dependency of capdo. It has 80 modules, so it would be most
// of what every user of capdo downloads and compiles. Its module is pinned here
// by hash, and built on first use.
package s3server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"flow.internal/capdo/internal/process"
)

// These are the server's module. To update versitygw, copy them to a folder as
// main.go without its first line, go.mod and go.sum, and run go get and go mod
// tidy there.
var (
	//go:embed gateway.go
	program []byte
	//go:embed versitygw.mod.txt
	modFile []byte
	//go:embed versitygw.sum.txt
	sumFile []byte
)

// flags make the build shorter: no symbols, and no optimization except in the
// standard library, which is in Go's cache as other programs use it. The
// program has only what a server of files needs, for the same reason:
// versitygw's own command also has other backends, and versitygw's tests.
var flags = []string{"-mod=readonly", "-ldflags=-s -w", "-gcflags=all=-N -l", "-gcflags=std="}

// Build returns the path of the server's program. It compiles the program
// unless this machine has it already. Compiling takes a minute, so Build calls
// building first.
func Build(ctx context.Context, building func()) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	version := sha256.Sum256(slices.Concat(program, modFile, sumFile, fmt.Append(nil, flags)))
	path := filepath.Join(cache, "capdo", fmt.Sprintf("versitygw-%x", version[:8]))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if building != nil {
		building()
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), "build-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	err = errors.Join(os.WriteFile(filepath.Join(dir, "main.go"), program, 0o644),
		os.WriteFile(filepath.Join(dir, "go.mod"), modFile, 0o644),
		os.WriteFile(filepath.Join(dir, "go.sum"), sumFile, 0o644))
	if err != nil {
		return "", err
	}
	args := slices.Concat([]string{"build", "-o", "versitygw"}, flags, []string{"main.go"})
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "GOOS=", "GOARCH=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build the S3 server: %w\n%s"+
			"\nhint: it comes from the Go module proxy; go env GOPROXY prints which one",
			err, strings.TrimSpace(string(out)))
	}
	return path, os.Rename(filepath.Join(dir, "versitygw"), path)
}

// Server is a running server with one bucket.
type Server struct {
	Endpoint          string // URL
	Bucket            string // its name
	AccessKey, Secret string
	Dir               string // the bucket's folder: an object is a file

	cmd  *exec.Cmd
	done <-chan struct{}
}

// Region is the server's region.
const Region = "us-east-1"

// Env returns environment variables with the server's credentials.
func (s *Server) Env() []string {
	return []string{"AWS_ENDPOINT_URL=" + s.Endpoint, "AWS_REGION=" + Region,
		"AWS_ACCESS_KEY_ID=" + s.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s.Secret}
}

// Start starts the program at an address of this machine, with its objects in
// dir. It returns when the server answers.
func Start(ctx context.Context, program, address, dir string) (*Server, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("the S3 server cannot listen: %w", err)
	}
	l.Close()
	s := &Server{Endpoint: "http://" + address, Bucket: "cluster", AccessKey: "capdo",
		Secret: rand.Text()}
	s.Dir = filepath.Join(dir, s.Bucket)
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return nil, err
	}
	s.cmd = exec.Command(program, address, dir)
	s.cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+s.AccessKey, "ROOT_SECRET_KEY="+s.Secret)
	var printed strings.Builder
	s.cmd.Stderr = &printed
	s.done, err = process.Start(s.cmd, true, func() { s.cmd.Wait() })
	if err != nil {
		return nil, err
	}
	for {
		select {
		case <-s.done:
			return nil, fmt.Errorf("the S3 server ended: %s"+
				"\nhint: its folder is %s; it needs a file system with extended attributes",
				strings.TrimSpace(printed.String()), dir)
		case <-ctx.Done():
			s.Stop()
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
		if resp, err := http.Get(s.Endpoint); err == nil {
			resp.Body.Close()
			return s, nil
		}
	}
}

// PID returns the process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Stop ends the server.
func (s *Server) Stop() {
	s.cmd.Process.Kill()
	<-s.done
}
