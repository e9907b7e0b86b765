//go:build !js

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"flow.internal/capdo/internal/freeport"
	"flow.internal/capdo/internal/s3server"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"capdo": main})
}

// TestScripts runs the real command. A script's folder is a module that depends
// on this one. $NODE_MODULES is the folder with wrangler.
func TestScripts(t *testing.T) { runScripts(t, "testdata/script") }

// TestClusterScripts runs the scripts that need an S3 server, which has to be
// built first. make test-cluster runs them.
func TestClusterScripts(t *testing.T) { runScripts(t, "testdata/cluster") }

func runScripts(t *testing.T, dir string) {
	t.Helper()
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	modules := filepath.Join(repo, "node_modules")
	if _, err := os.Stat(filepath.Join(modules, "wrangler")); err != nil {
		t.Fatalf("%v\nhint: run make build in %s first", err, repo)
	}
	goEnv := goOutput(t, "env", "GOCACHE", "GOMODCACHE", "GOFLAGS", "GOROOT")
	goVersion := goOutput(t, "list", "-m", "-f", "{{.GoVersion}}")[0]
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("GOCACHE", goEnv[0])
			e.Setenv("GOMODCACHE", goEnv[1])
			e.Setenv("GOFLAGS", goEnv[2])
			e.Setenv("HOME", os.Getenv("HOME"))
			e.Setenv("NODE_MODULES", modules)
			e.Setenv("GOROOT", goEnv[3])
			capdo, err := exec.LookPath("capdo") // this test program, under the command's name
			if err != nil {
				return err
			}
			e.Setenv("CAPDO", capdo)
			e.Setenv("LONG", strings.Repeat("long ", 2000))
			e.Setenv("WRANGLER_LOG_PATH", filepath.Join(e.WorkDir, ".wrangler-logs"))
			e.Setenv("WRANGLER_REGISTRY_PATH", filepath.Join(e.WorkDir, ".wrangler-registry"))
			mod := fmt.Sprintf("module test\n\ngo %s\n\nrequire flow.internal/capdo v0.0.0\n\nreplace flow.internal/capdo => %s\n", goVersion, repo)
			return os.WriteFile(filepath.Join(e.WorkDir, "go.mod"), []byte(mod), 0o644)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"freeport": freePort,
			"s3server": startS3Server,
			"skewed":   startSkewed,
			"listen":   listen,
			"http":     httpGet,
			"answer":   httpAnswer,
			"await":    await,
			"load":     load,
			"target":   startTarget,
		},
	})
}

// goOutput returns the lines that a go command prints.
func goOutput(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.Command("go", args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(out), "\n")
}

// freeport [N] sets $PORT to a free port. The N ports after it are free, too.
func freePort(ts *testscript.TestScript, neg bool, args []string) {
	after := 0
	if len(args) > 0 {
		n, err := strconv.Atoi(args[0])
		ts.Check(err)
		after = n
	}
	port, err := freeport.Range(1 + after)
	ts.Check(err)
	ts.Setenv("PORT", strconv.Itoa(port))
}

// s3server starts an S3-compatible server with a bucket "cluster" and sets the
// AWS variables for it.
func startS3Server(ts *testscript.TestScript, neg bool, args []string) {
	program, err := s3server.Build(context.Background(), func() { fmt.Fprintln(os.Stderr, "building versitygw: this takes a minute, once") })
	ts.Check(err)
	port, err := freeport.Get()
	ts.Check(err)
	s, err := s3server.Start(context.Background(), program, fmt.Sprintf("127.0.0.1:%d", port), ts.MkAbs("s3"))
	ts.Check(err)
	ts.Defer(s.Stop)
	for _, v := range s.Env() {
		name, value, _ := strings.Cut(v, "=")
		ts.Setenv(name, value)
	}
}

// skewed sets $SKEWED to the URL of the same server with a clock that is an
// hour behind.
func startSkewed(ts *testscript.TestScript, neg bool, args []string) {
	to, err := url.Parse(ts.Getenv("GOOD"))
	ts.Check(err)
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ModifyResponse = func(r *http.Response) error {
		r.Header.Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		return nil
	}
	s := httptest.NewServer(proxy)
	ts.Defer(s.Close)
	ts.Setenv("SKEWED", s.URL)
}

// listen listens on $PORT until the script ends. With ! it waits until the port
// is free.
func listen(ts *testscript.TestScript, neg bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:"+ts.Getenv("PORT"))
	for end := time.Now().Add(5 * time.Second); neg && err != nil && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond) // a killed process does not end at once
		l, err = net.Listen("tcp", "127.0.0.1:"+ts.Getenv("PORT"))
	}
	ts.Check(err)
	if neg {
		ts.Check(l.Close())
		return
	}
	ts.Defer(func() { l.Close() })
}

// http PATH PATTERN sends requests to $PORT until the answer matches.
func httpGet(ts *testscript.TestScript, neg bool, args []string) {
	poll(ts, args[1], func() ([]byte, error) {
		client := http.Client{Timeout: 10 * time.Second}
		resp, err := client.Get("http://127.0.0.1:" + ts.Getenv("PORT") + args[0])
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		return io.ReadAll(resp.Body)
	})
}

// load PATH sends requests to $PORT, one after another, until the script ends.
func load(ts *testscript.TestScript, neg bool, args []string) {
	url := "http://127.0.0.1:" + ts.Getenv("PORT") + args[0]
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		client := http.Client{Timeout: 10 * time.Second}
		for {
			if resp, err := client.Get(url); err == nil {
				resp.Body.Close()
			}
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	ts.Defer(func() { close(stop); <-stopped })
}

// answer PATH PATTERN sends requests to $PORT until there is an answer, which
// must match. It does not ask again, because a request may have an effect.
func httpAnswer(ts *testscript.TestScript, neg bool, args []string) {
	var first []byte
	poll(ts, "", func() ([]byte, error) {
		client := http.Client{Timeout: 30 * time.Second}
		resp, err := client.Get("http://127.0.0.1:" + ts.Getenv("PORT") + args[0])
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return nil, errors.New(resp.Status)
		}
		first, err = io.ReadAll(resp.Body)
		return first, err
	})
	if !regexp.MustCompile("(?m)" + args[1]).Match(first) {
		ts.Fatalf("the answer does not match %q: %s", args[1], first)
	}
}

// await FILE PATTERN waits until the file matches.
func await(ts *testscript.TestScript, neg bool, args []string) {
	poll(ts, args[1], func() ([]byte, error) { return os.ReadFile(ts.MkAbs(args[0])) })
}

func poll(ts *testscript.TestScript, pattern string, read func() ([]byte, error)) {
	re, err := regexp.Compile("(?m)" + pattern)
	ts.Check(err)
	var last []byte
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		last, err = read()
		if err == nil && re.Match(last) {
			return
		}
	}
	ts.Fatalf("nothing matches %q; last: %s %v", pattern, last, err)
}

func TestAnErrorIsPrintedWithItsHintsLastAndOnce(t *testing.T) {
	inner := errors.New("no such thing\nhint: get it")
	tests := []struct {
		err  error
		want string
	}{
		{errors.New("plain"), "error: plain\n"},
		{inner, "error: no such thing\nhint: get it\n"},
		{fmt.Errorf("%w\nhint: get it", inner), "error: no such thing\nhint: get it\n"},
		{fmt.Errorf("%w\nmore of it\nhint: or leave it", inner), "error: no such thing\nmore of it\nhint: get it\nhint: or leave it\n"},
	}
	for _, tt := range tests {
		var got strings.Builder
		printError(&got, tt.err)
		if got.String() != tt.want {
			t.Errorf("%q\nwant %q", got.String(), tt.want)
		}
	}
}
