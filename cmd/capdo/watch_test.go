//go:build !js

package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// tree writes files and returns their folder, without symbolic links in its
// name.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		change(t, filepath.Join(dir, name), content)
	}
	return dir
}

func change(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

var watched = map[string]string{
	"app/go.mod":              "module app\n\ngo 1.26\n\nrequire lib v0.0.0\n\nreplace lib => ../lib\n",
	"app/cmd/main.go":         "package main\n\nimport (\n\t_ \"app/text\"\n\t_ \"lib\"\n)\n\nfunc main() {}\n",
	"app/text/text.go":        "package text\n\nimport _ \"embed\"\n\n//go:embed data/hello.txt\nvar Hello string\n",
	"app/text/data/hello.txt": "hello",
	"app/unused/unused.go":    "package unused\n",
	"app/vars/one":            "A=1\n",
	"app/config/staging.toml": "name = \"w\"\n",
	"lib/go.mod":              "module lib\n\ngo 1.26\n",
	"lib/lib.go":              "package lib\n",
}

func TestAChangeIsNoticedWhenItMayChangeTheProgram(t *testing.T) {
	tests := []struct {
		name, file string
		want       any // true for a build, or "variables"
	}{
		{"a Go file of the program", "app/cmd/main.go", true},
		{"a new Go file", "app/cmd/more.go", true},
		{"a Go file of another package of the module", "app/text/text.go", true},
		{"a Go file of a module replaced by a folder", "lib/lib.go", true},
		{"an embedded file", "app/text/data/hello.txt", true},
		{"go.mod, above the program", "app/go.mod", true},
		{"go.sum", "app/go.sum", true},
		{"the wrangler config", "app/cmd/wrangler.jsonc", true},
		{"a config that was chosen, in a folder of its own", "app/config/staging.toml", true},
		{"a new package", "app/cmd/sub/sub.go", true},

		{"variables", "app/config/.dev.vars", "variables"},
		{"an environment's variables", "app/config/.dev.vars.staging", "variables"},
		{"variables in .env", "app/config/.env", "variables"},
		{"an environment's variables in .env", "app/config/.env.staging.local", "variables"},

		{"a file that a flag names", "app/vars/one", "variables"},
		{"another file that a flag names", "app/vars/two", "variables"},

		{"a file beside one that a flag names", "app/vars/three", false},
		{"another program's variables", "app/text/.dev.vars", false},
		{"variables beside the program, and not the config", "app/cmd/.dev.vars", false},
		{"an example of variables", "app/config/.dev.vars.example", false},
		{"an editor's swap file of variables", "app/config/.dev.vars.swp", false},
		{"another tool's file", "app/config/.envrc", false},
		{"a test", "app/cmd/main_test.go", false},
		{"a package that the program does not import", "app/unused/unused.go", false},
		{"what is no source", "app/cmd/README.md", false},
		{"what the build writes", "app/cmd/build/app.wasm", false},
		{"an editor's backup", "app/cmd/main.go~", false},
		{"an editor's swap file", "app/cmd/.main.go.swp", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := tree(t, watched)
			w, err := newWatcher(t.Context(), filepath.Join(dir, "app/cmd"), false)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			if err := w.addConfig(filepath.Join(dir, "app/config/staging.toml"), []string{"--env-file=../vars/one", "--x", "--env-file", "../vars/two"}); err != nil {
				t.Fatal(err)
			}
			change(t, filepath.Join(dir, tt.file), "// new")
			limit := 5 * time.Second
			want := changes{build: tt.want == true, variables: tt.want == "variables"}
			if tt.want == false {
				limit = 4 * settle
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			if got, err := w.wait(ctx); got != want || (err == nil) != (tt.want != false) {
				t.Errorf("a change of %s is noticed: %+v, %v", tt.file, got, err)
			}
		})
	}
}

func TestUpdateFollowsTheImports(t *testing.T) {
	dir := tree(t, watched)
	w, err := newWatcher(t.Context(), filepath.Join(dir, "app/cmd"), false)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	change(t, filepath.Join(dir, "app/cmd/main.go"), "package main\n\nimport (\n\t_ \"app/missing\"\n\t_ \"app/unused\"\n)\n\nfunc main() {}\n")
	if _, err := w.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.update(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, path := range w.WatchList() {
		got[path] = true
	}
	for name, want := range map[string]bool{"app": true, "app/cmd": true, "app/unused": true, "app/text": false, "lib": false} {
		if got[filepath.Join(dir, name)] != want {
			t.Errorf("%s is watched: %v", name, !want)
		}
	}
}
