//go:build !js

package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

var (
	inline = regexp.MustCompile("`[^`]+`")
	link   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	linked = regexp.MustCompile(`(?m)^\[([^\]]+)\]: \S+$`)
	byName = regexp.MustCompile(`\[[^\]]+\]\[([^\]]+)\]`)
)

// slugs returns the anchors that GitHub makes of a page's headings.
func slugs(p *page) map[string]bool {
	all := map[string]bool{}
	for _, line := range p.prose() {
		level, title, ok := strings.Cut(line, " ")
		if !ok || level == "" || strings.Trim(level, "#") != "" {
			continue
		}
		slug := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, title)
		for base, n := slug, 1; all[slug]; n++ {
			slug = base + "-" + string(rune('0'+n))
		}
		all[slug] = true
	}
	return all
}

// TestLinks follows all links to files and headings in the repository.
func TestLinks(t *testing.T) {
	pages := readPages(t, root)
	anchors := map[string]map[string]bool{}
	for _, p := range pages {
		anchors[p.path] = slugs(p)
	}
	for _, p := range pages {
		defined := map[string]bool{}
		for _, m := range linked.FindAllStringSubmatch(p.text, -1) {
			defined[m[1]] = true
		}
		for n, line := range p.prose() {
			line = inline.ReplaceAllString(line, "``")
			for _, m := range link.FindAllStringSubmatch(line, -1) {
				if problem := follow(p.path, m[1], anchors); problem != "" {
					t.Errorf("%s:%d: %s: %s", p.path, n+1, m[1], problem)
				}
			}
			for _, m := range byName.FindAllStringSubmatch(line, -1) {
				if !defined[m[1]] {
					t.Errorf("%s:%d: no link is named %s", p.path, n+1, m[1])
				}
			}
		}
	}
}

// follow returns what is wrong with a link, or "".
func follow(from, to string, anchors map[string]map[string]bool) string {
	if strings.HasPrefix(to, "https://") || strings.HasPrefix(to, "http://") {
		return ""
	}
	path, anchor, _ := strings.Cut(to, "#")
	if path == "" {
		path = from
	} else {
		path = filepath.ToSlash(filepath.Join(filepath.Dir(from), path))
	}
	if _, err := os.Stat(filepath.Join(root, path)); err != nil {
		return "the file does not exist"
	}
	if anchor != "" && !anchors[path][anchor] {
		return "the heading does not exist"
	}
	return ""
}

// code returns the commands on a page: in shell blocks and in backquotes.
func code(p *page) (all []string) {
	for _, b := range p.blocks {
		if b.language == "sh" {
			all = append(all, strings.Split(b.text, "\n")...)
		}
	}
	for _, line := range p.prose() {
		for _, m := range inline.FindAllString(line, -1) {
			all = append(all, strings.Trim(m, "`"))
		}
	}
	return all
}

var (
	target = regexp.MustCompile(`(?:^|[\s&;])make ([a-z]+)`)
	ours   = regexp.MustCompile(`(?:^|[\s/])capdo ((?:[a-z]+|--?[a-z]+)\b.*)`)
	flag   = regexp.MustCompile(`--[a-z][a-z-]*`)
)

// TestNames checks that the make targets, and the commands and flags of capdo,
// on the pages exist.
func TestNames(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	capdo := filepath.Join(t.TempDir(), "capdo")
	run(t, root, "go", "build", "-o", capdo, "./cmd/capdo")
	help := map[string]string{}
	checked := 0
	for _, p := range readPages(t, root) {
		for _, text := range code(p) {
			for _, m := range target.FindAllStringSubmatch(text, -1) {
				if checked++; !strings.Contains(string(makefile), "\n"+m[1]+":") {
					t.Errorf("%s: make has no target %s: %s", p.path, m[1], text)
				}
			}
			text = strings.ReplaceAll(trailing.ReplaceAllString(text, ""), "'", " ") // an argument may be a command
			if m := ours.FindStringSubmatch(text); m != nil {
				checked++
				if problem := usage(capdo, m[1], help); problem != "" {
					t.Errorf("%s: %s: %s", p.path, text, problem)
				}
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d names were found", checked)
	}
}

// usage returns what is wrong with arguments of capdo, or "".
func usage(capdo, args string, help map[string]string) string {
	args, _, _ = strings.Cut(args, " -- ")
	args, _, _ = strings.Cut(args, " | ")
	args, _, _ = strings.Cut(args, " && ")
	sub, rest, _ := strings.Cut(args, " ")
	if strings.HasPrefix(sub, "-") {
		sub, rest = "", args
	}
	if help[sub] == "" {
		out, err := exec.Command(capdo, append(strings.Fields(sub), "--help")...).CombinedOutput()
		if err != nil || sub != "" && !strings.Contains(string(out), "capdo "+sub) {
			return "there is no such command"
		}
		help[sub] = string(out)
	}
	for _, f := range flag.FindAllString(rest, -1) {
		if !regexp.MustCompile(`(?m)(^|\s)` + f + `\b`).MatchString(help[sub]) {
			return "there is no flag " + f
		}
	}
	return ""
}

func TestAnchorsAreThoseOfGitHub(t *testing.T) {
	p, err := parse("x.md", "# A page: \"one\"\n## Two, `three`\n## Two, `three`\n```sh\n# no heading\n```\n")
	if err != nil {
		t.Fatal(err)
	}
	got := slugs(p)
	for _, want := range []string{"a-page-one", "two-three", "two-three-1"} {
		if !got[want] {
			t.Errorf("no anchor %s in %v", want, got)
		}
	}
	if len(got) != 3 {
		t.Errorf("%v", got)
	}
}
