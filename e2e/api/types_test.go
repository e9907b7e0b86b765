//go:build !js

package api

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const types = root + "/node_modules/@cloudflare/workers-types"

// declaredMembers returns the members of the covered declarations as
// Interface.member. For a union of strings it returns the strings.
func declaredMembers(t *testing.T) map[string]bool {
	t.Helper()
	wantPinnedTypes(t)
	text, err := os.ReadFile(filepath.Join(types, "index.d.ts"))
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]bool{}
	for name, list := range declarations(string(text)) {
		if covered.MatchString(name) {
			for _, member := range list {
				members[name+"."+member] = true
			}
		}
	}
	if !strings.Contains(string(text), "  export function retryable(") {
		t.Error(`module "cloudflare:durable-objects" no longer has the function retryable`)
	}
	members["cloudflare:durable-objects.retryable"] = true
	// the other members of these belong to Workers
	for _, member := range []string{"ExecutionContext.waitUntil", "ExportedHandler.scheduled", "ExportedHandler.queue"} {
		members[member] = true
	}
	return members
}

func wantPinnedTypes(t *testing.T) {
	t.Helper()
	var wanted struct{ DevDependencies map[string]string }
	var found struct{ Version string }
	for path, into := range map[string]any{root + "/package.json": &wanted, types + "/package.json": &found} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatalf("%v\nhint: make installs the packages that package.json pins", err)
		}
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	if pinned := wanted.DevDependencies["@cloudflare/workers-types"]; found.Version != pinned {
		t.Fatalf("node_modules has version %s of the types, package.json pins %s", found.Version, pinned)
	}
}

var (
	comment     = regexp.MustCompile(`(?s)/\*.*?\*/|//[^\n]*`)
	declaration = regexp.MustCompile(`(?m)^(?:declare )?(?:abstract )?(?:interface|class|type) (\w+)`)
	quoted      = regexp.MustCompile(`"([^"]+)"`)
	member      = regexp.MustCompile(`^(?:(?:readonly|get|set|static|abstract)\s+)*(\[Symbol\.\w+\]|[\w$]+)\??\s*[(<:]`)
)

// declarations returns the members of the top-level interfaces, classes and
// types in a .d.ts file.
func declarations(text string) map[string][]string {
	text = comment.ReplaceAllString(text, "")
	found := map[string][]string{}
	for _, at := range declaration.FindAllStringSubmatchIndex(text, -1) {
		name, isType := text[at[2]:at[3]], strings.Contains(text[at[0]:at[2]], "type ")
		body := block(behindParameters(text[at[3]:]), isType)
		if isType && !strings.Contains(body, "{") {
			for _, s := range quoted.FindAllStringSubmatch(body, -1) {
				found[name] = append(found[name], s[1])
			}
			continue
		}
		for _, part := range split(body[strings.LastIndex(outermost(body), "{")+1:]) {
			if m := member.FindStringSubmatch(part); m != nil && !slices.Contains(found[name], m[1]) {
				found[name] = append(found[name], m[1])
			}
		}
	}
	return found
}

// behindParameters skips the type parameters of a declaration. Their defaults
// may contain braces.
func behindParameters(text string) string {
	depth := 0
	for i := range text {
		switch {
		case text[i] == '<':
			depth++
		case text[i] == '>' && text[i-1] != '=':
			depth--
		case i == 0 && text[i] == ' ':
			return text
		}
		if depth == 0 {
			return text[i+1:]
		}
	}
	return text
}

// block returns a declaration after its name: an interface or class up to its
// closing brace, a type up to its semicolon.
func block(text string, isType bool) string {
	depth := 0
	for i := range text {
		switch text[i] {
		case '{', '(', '[':
			depth++
		case ')', ']':
			depth--
		case '}':
			if depth--; depth == 0 && !isType {
				return text[:i]
			}
		case ';':
			if depth == 0 {
				return text[:i]
			}
		}
	}
	return text
}

// outermost blanks the content of nested braces, parentheses and brackets, so
// that the last remaining brace closes the members.
func outermost(text string) string {
	out, depth := []byte(text), 0
	for i, c := range out {
		isOpening, isClosing := strings.IndexByte("{([", c) >= 0, strings.IndexByte("})]", c) >= 0
		if isClosing {
			depth--
		}
		if depth > 0 {
			out[i] = ' '
		}
		if isOpening {
			depth++
		}
	}
	return string(out)
}

// split splits members at semicolons that are not nested.
func split(body string) (parts []string) {
	depth, begin := 0, 0
	for i := range body {
		switch body[i] {
		case '{', '(', '[':
			depth++
		case '}', ')', ']':
			depth--
		case ';':
			if depth == 0 {
				parts = append(parts, strings.TrimSpace(body[begin:i]))
				begin = i + 1
			}
		}
	}
	return parts
}

func TestDeclarationsAreRead(t *testing.T) {
	found := declarations(`
interface A<T = { not: 1 }> {
  /** c: { } ; */
  one(f: () => { x: 1; y: 2 }): void;
  one(g: string): void; // d: 1;
  readonly two?: Record<string, { a: 1; }>;
  get three(): [a: number, b: string];
  [Symbol.iterator](): Iterator<T>;
}
declare abstract class B<
  T extends X | undefined = undefined,
> extends C<T> {
  constructor(
    a: string,
  );
  four<U>(a: (b: U) => void): U;
}
type D = "x" | "y-z";
type E<T> = (T extends X ? { no: 1 } : unknown) & {
  five(input: A | B, init?: C): Promise<D>;
};
interface F {}
declare namespace N {
  interface Hidden { six: 1; }
}
`)
	for name, want := range map[string]string{"A": "one two three [Symbol.iterator]", "B": "constructor four", "D": "x y-z", "E": "five", "F": "", "Hidden": ""} {
		if got := strings.Join(found[name], " "); got != want {
			t.Errorf("%s has %q, want %q", name, got, want)
		}
	}
}
