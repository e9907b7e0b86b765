//go:build !js

package wrangler

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// nested puts open n times before the middle, and close n times after it.
func nested(n int, open, middle, end string) string {
	return strings.Repeat(open, n) + middle + strings.Repeat(end, n)
}

func TestDepthIsBounded(t *testing.T) {
	tests := []struct{ name, file, before, open, middle, end, after string }{
		{"JSONC lists", "wrangler.jsonc", `{"a": `, `[`, ``, `]`, `}`},
		{"JSONC objects", "wrangler.jsonc", ``, `{"a":`, `1`, `}`, ``},
		{"JSONC never closed", "wrangler.jsonc", ``, `[`, ``, ``, ``},
		{"TOML lists", "wrangler.toml", "a = ", `[`, ``, `]`, "\n"},
		{"TOML inline tables", "wrangler.toml", "a = ", `{a=`, `1`, `}`, "\n"},
		{"TOML dotted keys", "wrangler.toml", "a", `.a`, ` = 1`, ``, "\n"},
		{"TOML table headers", "wrangler.toml", "[a", `.a`, `]`, ``, "\n"},
		{"JSONC after what looks like a comment", "wrangler.jsonc", `{"b": "/*", "c": "//", "d": "\"", "a": `, `[`, ``, `]`, `}`},
		{"TOML after strings", "wrangler.toml", "b = '#'\nc = \"\\\"\"\nd = \"\"\"\n]\"\"\"\ne = '''\n''\\'''\na = ", `[`, ``, `]`, "\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, depth := range []int{maxDepth + 1, 100_000} {
				path := writeConfig(t, tt.file, tt.before+nested(depth, tt.open, tt.middle, tt.end)+tt.after)
				if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "nested more than 100 deep\nhint: ") {
					t.Errorf("%d deep: error is %.200v", depth, err)
				}
			}
			path := writeConfig(t, tt.file, tt.before+nested(maxDepth-5, tt.open, tt.middle, tt.end)+tt.after)
			if _, err := Load(path); err != nil && tt.end != "" {
				t.Errorf("%d deep: %v", maxDepth-5, err)
			}
		})
	}
}

func TestBracketsInStringsAndCommentsAreNoDepth(t *testing.T) {
	many := strings.Repeat("[{.", 1000)
	for file, text := range map[string]string{
		"wrangler.jsonc": fmt.Sprintf("{ // %s\n/* %[1]s */ \"name\": \"%[1]s\" }", many),
		"wrangler.toml":  fmt.Sprintf("# %s\nname = \"%[1]s\"\na = '%[1]s'\nb = '''\n%[1]s'''\nc = \"\"\"\n%[1]s\"\"\"\n", many),
	} {
		if _, err := Load(writeConfig(t, file, text)); err != nil {
			t.Errorf("%s: %.200v", file, err)
		}
	}
}

func TestSizeIsBounded(t *testing.T) {
	for _, file := range []string{"wrangler.jsonc", "wrangler.toml"} {
		path := writeConfig(t, file, base+strings.Repeat("#", maxSize))
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "is larger than 1048576 bytes, the limit for a config\nhint: ") {
			t.Errorf("error is %.200v", err)
		}
	}
}

// TestTimeIsInProportionToSize: each config takes a second at most. If each
// step took time in proportion to the file's length, it would take minutes to
// hours.
func TestTimeIsInProportionToSize(t *testing.T) {
	long := strings.Repeat("k", maxSize/4)
	tests := []struct{ name, file, text string }{
		{"many migrations without a tag", "wrangler.json", `{"migrations": [{}` + strings.Repeat(`,{}`, 200_000) + `]}`},
		{"many migrations with equal tags", "wrangler.json", `{"migrations": [{"tag":""}` + strings.Repeat(`,{"tag":"v1"}`, 60_000) + `]}`},
		{"many lines", "wrangler.json", `{"migrations": [{}` + strings.Repeat("\n,1", 200_000) + `]}`},
		{"many lines of TOML", "wrangler.toml", strings.Repeat("[[migrations]]\n", 60_000)},
		{"many entries below a long key", "wrangler.json", `{"` + long + `": [0` + strings.Repeat(`,0`, 200_000) + `]}`},
		{"many bindings", "wrangler.json", `{"durable_objects": {"bindings": [{}` + strings.Repeat(`,{}`, 200_000) + `]}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := writeConfig(t, tt.file, tt.text)
			done := make(chan struct{})
			go func() {
				defer close(done)
				if c, err := Load(path); err == nil {
					CheckAll(c, program("Counter"), today)
				}
			}()
			select {
			case <-done:
			case <-time.After(60 * time.Second):
				t.Fatal("it takes more than a minute")
			}
		})
	}
}

func TestAByteOrderMarkIsTaken(t *testing.T) {
	for name, content := range map[string]string{"wrangler.toml": fullTOML, "wrangler.jsonc": fullJSONC} {
		want, err := Load(writeConfig(t, name, content))
		if err != nil {
			t.Fatal(err)
		}
		path := writeConfig(t, name, string(byteOrderMark)+content)
		got, err := Load(path)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want.Path = got.Path
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(Config{}, positions{}, file{})); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
		if b, err := moved(path, t.TempDir()); err != nil || bytes.HasPrefix(b, byteOrderMark) {
			t.Errorf("%s moved: %.20q, %v", name, b, err)
		}
	}
}

func TestKeysAreCaseSensitive(t *testing.T) {
	for file, text := range map[string]string{
		"wrangler.json": `{"Env": {"staging": {}}, "NAME": "x", "Main": 3, "vars": {"A": 1}, "Vars": 2, "env": {"test": {"Vars": {"B": 2}, "NAME": 1}}}`,
		"wrangler.toml": "NAME = 'x'\nMain = 3\nVars = 2\n[vars]\nA = 1\n[Env.staging]\n[env.test]\nNAME = 1\nVars.B = 2\n",
	} {
		c := load(t, file, text)
		if c.Name != "" || c.Main != "" || len(c.Vars) != 1 || len(c.Environments) != 1 || len(c.Environments["test"].Vars) != 0 {
			t.Errorf("%s: %+v", file, c)
		}
		CheckAll(c, program("Counter"), today)
	}
}

func TestAnEnvironmentsNameMayHaveADot(t *testing.T) {
	c := load(t, "wrangler.json", `{"name": "a", "limits": {"cpu_ms": 5}, "env": {"v1.2": {"limits": {"cpu_ms": 7}}}}`)
	if got := c.Environments["v1.2"]; got.Limits.CPUMs != 7 || got.Name != "a-v1.2" {
		t.Errorf("%+v", got)
	}
}

func TestEnvironmentsAreBounded(t *testing.T) {
	config := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, ", \"e%d\": {}", i)
		}
		return `{ "name": "w", "env": { ` + strings.TrimPrefix(b.String(), ", ") + ` } }`
	}
	if c, err := Load(writeConfig(t, "wrangler.json", config(maxEnvironments))); err != nil || len(c.Environments) != maxEnvironments {
		t.Errorf("the maximum number of environments: %v", err)
	}
	_, err := Load(writeConfig(t, "wrangler.json", config(maxEnvironments+1)))
	if err == nil || !strings.Contains(err.Error(), "wrangler.json:1:16: the config has 101 environments; at most 100 are possible\nhint: ") {
		t.Errorf("one more: %v", err)
	}
}
