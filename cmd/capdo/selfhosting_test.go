//go:build !js

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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

func TestContainerfile(t *testing.T) {
	m := regexp.MustCompile(`(?m)^ENTRYPOINT (\[.*\])$`).FindStringSubmatch(readExample(t, "Containerfile"))
	var entry []string
	if m == nil || json.Unmarshal([]byte(m[1]), &entry) != nil || len(entry) < 2 {
		t.Fatal("the entry point is not a JSON array")
	}
	takes(t, entry[2:])
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
