//go:build !js

// Package docs tests README.md and docs as a reader would use them: it executes
// each code block in order, and follows each link.
package docs

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

const root = "../.."

// notRun are the blocks that are not executed, by page and first line, with the
// page's reason.
var notRun = map[string]string{
	"docs/operating.md: for time.Since(start) < time.Second { work() } // never ends: count the work instead": "it never ends",
	"docs/operating.md: go tool capdo dev --profile":                                                          "needs load; the test of capdo profile does the same",
	"docs/operating.md: go tool capdo bench http://127.0.0.1:8787/ --callers 50 --duration 30s":               "needs a server and time; the test of capdo bench does the same",
	"docs/operating.md: make test":                                        "run by CI, takes minutes",
	"docs/operating.md: npx wrangler secret put LEDGER_TOKENS --env test": "needs a Cloudflare account",
	"README.md: make test":                                                "run by CI, takes minutes",
	"docs/deploy.md: go tool capdo deploy --env test":                     "needs a Cloudflare account",
	"docs/deploy.md: export CLOUDFLARE_API_TOKEN=…":                       "needs a Cloudflare account",
	`docs/deploy.md: curl -H "$TOKEN" $URL/dedupe/put_if_absent --json '{"key":"alpha","ttl_seconds":60}'`: "needs a Cloudflare account",
	"docs/self-hosting.md: openssl rand -hex 32 > cluster-key":                                             "needs machines and a bucket",
	"docs/self-hosting.md: go run ./cmd/capdo cluster examples/ledger --nodes 3 --env-file ledger.env":     "builds an S3 server, which takes a minute; cmd/capdo has a script that runs it",
	"docs/scale.md: go run ./bench/scale -only storm,hot":                                                  "the test of bench/scale compares the same tables",
	"docs/scale.md: go test -v ./e2e/cluster -run TestThroughput -measure 8s":                              "a measurement, takes two minutes",
	"docs/deploy.md: npx wrangler rollback --env test":                                                     "needs a Cloudflare account",
}

// inProject are the pages whose commands are run in a project that capdo new
// wrote. The commands of other pages are run in the clone.
var inProject = []string{"docs/deploy.md", "docs/migrations.md", "docs/testing.md"}

// workspace is shared by all pages.
type workspace struct {
	dir   string // the start folder of README.md; capdo in it is the clone, counter the project
	env   []string
	check int // number of checked configs
	mu    sync.Mutex
}

// TestPages runs README.md first, because it creates the clone and the project
// that other pages use.
func TestPages(t *testing.T) {
	pages := readPages(t, root)
	w, began := newWorkspace(t), false
	if !t.Run(pages[0].path, func(t *testing.T) {
		began = true
		w.execute(t, pages[0], w.dir)
	}) {
		return
	}
	if !began {
		t.Fatal("README.md is not selected, but the other pages need its clone\nhint: -run 'TestPages/README.md|TestPages/docs/dedupe.md'")
	}
	for _, p := range pages[1:] {
		t.Run(p.path, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(w.dir, "capdo")
			if slices.Contains(inProject, p.path) {
				dir = filepath.Join(w.dir, strings.NewReplacer("/", "-", ".md", "").Replace(p.path))
				run(t, w.dir, "cp", "-a", "counter", dir)
			}
			w.execute(t, p, dir)
		})
	}
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// newWorkspace makes a repository from the working tree, and an npm that
// installs by linking the present node_modules.
func newWorkspace(t *testing.T) *workspace {
	t.Helper()
	w := &workspace{dir: t.TempDir()}
	abs, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(abs, "node_modules/wrangler")); err != nil {
		t.Fatalf("%v\nhint: run make build first", err)
	}
	source, bin := filepath.Join(w.dir, ".source"), filepath.Join(w.dir, ".bin")
	for _, dir := range []string{source, bin} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run(t, abs, "bash", "-o", "pipefail", "-c", `git ls-files -co --exclude-standard -z | tar c --null -T - --ignore-failed-read 2>/dev/null | tar x -C "$0"`, source)
	run(t, source, "bash", "-c", "git init -q && git add -A && git -c user.name=docs -c user.email=docs@localhost commit -qm docs")
	npm := fmt.Sprintf("#!/bin/sh\nset -e\nmkdir -p node_modules\nfor f in %[1]s/node_modules/* %[1]s/node_modules/.bin; do ln -sfn $f node_modules/; done\ncp %[1]s/node_modules/.package-lock.json node_modules/\n", abs)
	if err := os.WriteFile(filepath.Join(bin, "npm"), []byte(npm), 0o755); err != nil {
		t.Fatal(err)
	}
	w.env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "GOBIN="+bin, "CAPDO="+source, "WRANGLER_SEND_METRICS=false",
		"WRANGLER_LOG_PATH="+filepath.Join(w.dir, ".logs"), "WRANGLER_REGISTRY_PATH="+filepath.Join(w.dir, ".registry"))
	return w
}

// execute executes a page's blocks in order, in a shell that starts in dir.
func (w *workspace) execute(t *testing.T, p *page, dir string) {
	s := openShell(t, dir, w.env)
	for i, b := range p.blocks {
		if t.Failed() {
			return // later blocks depend on it
		}
		if _, ok := b.notes["not run"]; ok {
			continue
		}
		if file, ok := b.notes["file"]; ok {
			where, _ := s.command("pwd")
			if err := os.WriteFile(filepath.Join(strings.TrimSpace(where), file), []byte(b.text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if file, ok := b.notes["from"]; ok {
			stands(t, p, b, file)
		}
		switch b.language {
		case "sh":
			s.block(b, i+1 < len(p.blocks) && p.blocks[i+1].language == "text")
		case "text":
			if !prints(s.last, b.text, true) {
				t.Errorf("%s:%d: the previous commands print\n%s\nbut the page says\n%s", p.path, b.line, s.last, b.text)
			}
		case "go":
			w.golang(t, p, b)
		case "jsonc":
			w.config(t, p, b, "wrangler.jsonc")
		case "toml":
			w.config(t, p, b, "wrangler.toml")
		case "json":
			if !json.Valid([]byte(b.text)) {
				t.Errorf("%s:%d: this is not JSON", p.path, b.line)
			}
		case "sql":
			if b.notes["from"] == "" {
				t.Errorf("%s:%d: SQL must come from a file that a test runs", p.path, b.line)
			}
		default:
			t.Errorf("%s:%d: a block of %q has no handler", p.path, b.line, b.language)
		}
	}
}

// frames is the code around Go blocks that are neither whole files nor part of
// one.
var frames = map[string]string{
	"docs/spec/capabilities-and-binding.md": `package frame

import (
	"net/http"

	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable/durablehttp"
	"flow.internal/capdo/flow"
)
`,
}

// stands checks that a block is in the file that it names.
func stands(t *testing.T, p *page, b block, file string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Error(err)
	} else if !strings.Contains(string(text), b.text) {
		t.Errorf("%s:%d: this is not in %s:\n%s", p.path, b.line, file, b.text)
	}
}

// golang compiles a block, unless it comes from a file that is compiled and
// tested.
func (w *workspace) golang(t *testing.T, p *page, b block) {
	t.Helper()
	if _, ok := b.notes["from"]; ok {
		return
	}
	text := b.text
	if !strings.HasPrefix(text, "package ") && !strings.Contains(text, "\npackage ") {
		if frames[p.path] == "" {
			t.Errorf("%s:%d: a fragment that is not in a file (<!-- from: … -->)", p.path, b.line)
			return
		}
		text = frames[p.path] + text
	}
	dir := w.folder(t)
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	w.try(t, p, b, dir, "env", "GOOS=js", "GOARCH=wasm", "go", "vet", ".")
}

// folder makes a new folder in the clone.
func (w *workspace) folder(t *testing.T) string {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.check++
	dir := filepath.Join(w.dir, "capdo/e2e/docs", fmt.Sprintf("block%d", w.check))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// try runs a command of a block. It must succeed.
func (w *workspace) try(t *testing.T, p *page, b block, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, w.env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s:%d: %v\n%s\n%s", p.path, b.line, err, out, b.text)
	}
}

var className = regexp.MustCompile(`"?class_name"?\s*[:=]\s*"(\w+)"`)

// config runs capdo check on a wrangler config, or on a part of one. The
// program registers the classes that the config binds, and handles the events
// that it requests.
func (w *workspace) config(t *testing.T, p *page, b block, file string) {
	t.Helper()
	text := b.text
	if file == "wrangler.jsonc" && !strings.HasPrefix(text, "{") {
		text = "{" + text + "}"
	}
	if file == "wrangler.jsonc" && !strings.Contains(text, `"main"`) {
		text = strings.Replace(text, "{", `{ "name": "frame", "main": "build/entry.mjs", "compatibility_date": "2026-11-01", `, 1)
	}
	classes := map[string]bool{}
	if list, ok := b.notes["classes"]; ok {
		for name := range strings.SplitSeq(list, ", ") {
			classes[name] = true
		}
	}
	for _, m := range className.FindAllStringSubmatch(text, -1) {
		classes[m[1]] = true
	}
	program := "package main\n\nimport (\n\t\"context\"\n\n\t\"flow.internal/capdo/durable\"\n)\n\n" +
		"func construct(context.Context, *durable.State, *durable.Env) (int, error) { return 0, nil }\n\nfunc main() {\n"
	for name := range classes {
		program += fmt.Sprintf("\tdurable.Register(%q, construct)\n", name)
	}
	if strings.Contains(text, `"crons"`) {
		program += "\tdurable.HandleScheduled(func(context.Context, *durable.Env, durable.ScheduledEvent) error { return nil })\n"
	}
	if strings.Contains(text, `"consumers"`) {
		program += "\tdurable.HandleQueue(func(context.Context, *durable.Env, *durable.MessageBatch) error { return nil })\n"
	}
	dir := w.folder(t)
	for name, text := range map[string]string{"main.go": program + "\tdurable.Run()\n}\n", file: text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w.try(t, p, b, dir, filepath.Join(w.dir, "capdo/.bin/capdo"), "check", file)
}

// TestListOfBlocksNotRun checks that notRun lists exactly the blocks that are
// not executed.
func TestListOfBlocksNotRun(t *testing.T) {
	found := map[string]string{}
	for _, p := range readPages(t, root) {
		for _, b := range p.blocks {
			if why, ok := b.notes["not run"]; ok {
				first, _, _ := strings.Cut(b.text, "\n")
				found[p.path+": "+strings.TrimSpace(trailing.ReplaceAllString(first, ""))] = why
			}
		}
	}
	for name, why := range found {
		t.Logf("not run: %s: %s", name, why)
		if notRun[name] != why {
			t.Errorf("%s is not run (%s), but is missing from this test's list", name, why)
		}
	}
	for name := range notRun {
		if found[name] == "" {
			t.Errorf("%s is on this test's list, but is not marked as not run", name)
		}
	}
}
