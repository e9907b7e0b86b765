//go:build !js

package node

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// put creates an empty program in a folder of node_modules.
func put(t *testing.T, dir, name string) string {
	t.Helper()
	p := filepath.Join(dir, "node_modules", filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte("#!/bin/sh\necho v18.20.4\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWorkerdIsTheOneOfThisPlatform(t *testing.T) {
	dir := t.TempDir()
	inner := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "@cloudflare/workerd-plan9-64/bin/workerd")
	t.Chdir(inner)
	if p, err := Workerd("."); err == nil {
		t.Fatalf("found %s, which is for another platform", p)
	} else if !strings.Contains(err.Error(), "hint: npm install --save-dev wrangler") ||
		!strings.Contains(err.Error(), runtime.GOOS+"/"+runtime.GOARCH+" is not installed in "+inner) {
		t.Errorf("the error has no hint: %v", err)
	}
	names := map[string]string{
		"linux/amd64": "linux-64", "linux/arm64": "linux-arm64", "darwin/amd64": "darwin-64", "darwin/arm64": "darwin-arm64",
	}
	want := put(t, dir, "@cloudflare/workerd-"+names[runtime.GOOS+"/"+runtime.GOARCH]+"/bin/workerd")
	if p, err := Workerd(inner); err != nil || p != want {
		t.Errorf("found %q, %v; want %s", p, err, want)
	}
}

func TestNodeOfTheProjectComesBeforeThatOnPath(t *testing.T) {
	dir, path := t.TempDir(), t.TempDir()
	put(t, path, "node")
	t.Setenv("PATH", filepath.Join(path, "node_modules"))
	if _, err := Find(dir); err == nil || !strings.Contains(err.Error(), "v18.20.4, is too old") || !strings.Contains(err.Error(), "\nhint: install Node.js") {
		t.Errorf("a Node.js that is too old: %v", err)
	}
	if Package() == "" {
		return // npm has no package for this platform
	}
	want := put(t, dir, Package()+"/bin/node")
	if p, err := Find(dir); err != nil || p != want {
		t.Errorf("found %q, %v; want %s", p, err, want)
	}
}

func TestVersions(t *testing.T) {
	for version, enough := range map[string]bool{"v22.12.0": true, "v22.11.9": false, "v23.0.0": true, "v18.20.4": false, "": false} {
		if isEnough(version) != enough {
			t.Errorf("isEnough(%q) is %v", version, !enough)
		}
	}
}
