//go:build !js

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const selfHosting = "../../docs/self-hosting/"

func readExample(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(selfHosting + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// takes fails the test unless capdo serve accepts these flags and at most one
// argument.
func takes(t *testing.T, args []string) {
	t.Helper()
	cmd := newServe()
	if err := cmd.ParseFlags(args); err != nil {
		t.Errorf("capdo serve %v: %v", args, err)
	}
	if cmd.Flags().NArg() > 1 {
		t.Errorf("capdo serve %v: more than one folder", args)
	}
}

func TestUnit(t *testing.T) {
	text := readExample(t, "ledger.service")
	for _, part := range []string{`(?s)ExecStart=/usr/local/bin/capdo serve (.*?[^\\])\n`, `(?m)^#   (--cluster .*\n#   --key-file .*)$`} {
		m := regexp.MustCompile(part).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("nothing matches %s", part)
		}
		takes(t, strings.Fields(strings.NewReplacer("\\\n", " ", "#", " ").Replace(m[1])))
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd-analyze is not installed: the unit was parsed by this test only")
		return
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "capdo")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil { // systemd-analyze looks for the program
		t.Fatal(err)
	}
	unit := filepath.Join(dir, "ledger.service")
	if err := os.WriteFile(unit, []byte(strings.Replace(text, "/usr/local/bin/capdo", program, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

func TestContainerfile(t *testing.T) { takes(t, entryPoint(t)[2:]) }

// entryPoint returns the command that a container runs.
func entryPoint(t *testing.T) []string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^ENTRYPOINT (\[.*\])$`).FindStringSubmatch(readExample(t, "Containerfile"))
	var entry []string
	if m == nil || json.Unmarshal([]byte(m[1]), &entry) != nil || len(entry) < 2 {
		t.Fatal("the entry point is not a JSON array")
	}
	return entry
}

// The container file builds a project as capdo new writes it, in a folder
// without the clone of capdo. The test follows its instructions without a
// container: COPY with the project's .dockerignore, and RUN up to the last
// stage. npm ci is not run: a link to the installed packages replaces it.
func TestContainerfileBuildsANewProject(t *testing.T) {
	work, image := t.TempDir(), t.TempDir()
	project, source := filepath.Join(work, "app"), filepath.Join(work, "capdo")
	capdo, err := exec.LookPath("capdo") // this test program, under the command's name
	if err != nil {
		t.Fatal(err)
	}
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	runIn(t, work, "ln", "-s", repo, source) // not in the image, as ../capdo of go.mod
	runIn(t, work, capdo, "new", project, "--no-install", "--capdo", source)
	runIn(t, project, "grep", "=> ../capdo$", "go.mod")
	runIn(t, project, "go", "mod", "tidy")
	runIn(t, project, "go", "mod", "vendor")
	runIn(t, project, "sh", "-c", "mkdir node_modules build && touch node_modules/host build/host")
	runIn(t, project, "sh", "-c", "echo {} >package-lock.json") // npm install writes it

	var pairs []string
	for _, dir := range []string{"/src", "/out", "/app", "/data", "/usr/local/bin"} {
		pairs = append(pairs, dir, image+dir)
		runIn(t, image, "mkdir", "-p", image+dir)
	}
	inImage, stages := strings.NewReplacer(pairs...), 0
	for line := range strings.Lines(readExample(t, "Containerfile")) {
		instruction, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		args := strings.Fields(rest)
		switch {
		case instruction == "FROM":
			stages++
		case instruction == "COPY" && strings.HasPrefix(rest, "--from=build "):
			paths := strings.Fields(inImage.Replace(strings.Join(args[1:], " ")))
			runIn(t, image, "cp", append([]string{"-a"}, paths...)...)
		case instruction == "COPY" && !strings.HasPrefix(rest, "--from="):
			for _, source := range args[:len(args)-1] {
				copyContext(t, project, source, filepath.Join(image, "src"))
			}
		case instruction == "RUN" && rest == "npm ci":
			runIn(t, filepath.Join(image, "src"), "ls", "package.json", "package-lock.json")
			runIn(t, filepath.Join(image, "src"), "ln", "-s", filepath.Join(repo, "node_modules"), "node_modules")
		case instruction == "RUN" && stages == 1:
			runIn(t, filepath.Join(image, "src"), "sh", "-c", inImage.Replace(rest))
		}
	}
	if stages != 2 {
		t.Errorf("%d stages", stages)
	}
	if _, err := os.Stat(filepath.Join(image, "src/build/host")); err == nil {
		t.Error("the image has files of the host's build folder")
	}
	entry := entryPoint(t)
	for i := range entry {
		entry[i] = inImage.Replace(entry[i])
	}
	runIn(t, image, filepath.Join(image, "usr/local/bin", entry[0]), append(entry[1:], "--print-config")...)
	runIn(t, image, filepath.Join(image, "usr/local/bin/workerd"), "--version")
}

// copyContext copies a file of the project, or with "." all files that its
// .dockerignore does not exclude.
func copyContext(t *testing.T, project, source, to string) {
	t.Helper()
	ignored, err := os.ReadFile(filepath.Join(project, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{source}
	if source == "." {
		if paths, err = filepath.Glob(filepath.Join(project, "*")); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range paths {
		name := filepath.Base(path)
		if !slices.ContainsFunc(strings.Fields(string(ignored)), func(pattern string) bool {
			match, err := filepath.Match(pattern, name)
			return match || err != nil
		}) {
			runIn(t, project, "cp", "-a", name, to)
		}
	}
}

// runIn fails the test unless a command succeeds in a folder.
func runIn(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func TestCompose(t *testing.T) {
	var file struct {
		Services map[string]struct {
			Image   string
			Command []string
			Secrets []string
			Volumes []string
		}
		Volumes, Secrets map[string]any
	}
	if err := yaml.Unmarshal([]byte(readExample(t, "compose.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Services) != 2 {
		t.Fatalf("%d services", len(file.Services))
	}
	for name, s := range file.Services {
		takes(t, s.Command)
		if s.Image == "" || len(s.Secrets) != 3 {
			t.Errorf("%s does not have the settings that all nodes share", name)
		}
		for _, secret := range s.Secrets {
			if file.Secrets[secret] == nil || !strings.Contains(strings.Join(s.Command, " "), "/run/secrets/"+secret) {
				t.Errorf("%s: the secret %s is not declared, or not used", name, secret)
			}
		}
		if volume, _, _ := strings.Cut(s.Volumes[0], ":"); volume != name {
			t.Errorf("%s stores in %s", name, volume)
		}
	}
}
