//go:build !js

// Package api tests that docs/api.md is complete and correct. Each operation of
// the interfaces that it is about must be in its table or among those left out.
// The Go names and the tests in the table must exist.
package api

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// covered matches the names of the declarations that belong to Durable Objects,
// queues and cron triggers.
var covered = regexp.MustCompile(`^(DurableObject\w*|AlarmInvocationInfo|SqlStorage\w*|SyncKv\w*|FacetStartupOptions|WebSocketRequestResponsePair|Fetcher|ScheduledController|Queue|Queue(Send|Retry|Metrics|ContentType)\w*|Message|MessageBatch\w*|MessageSendRequest)$`)

func TestEveryOperationIsInTheTableOrLeftOut(t *testing.T) {
	members := declaredMembers(t)
	table := readTable(t)
	for _, member := range slices.Sorted(maps.Keys(members)) {
		_, isMapped := table.mapped[member]
		reason, isLeftOut := table.leftOut[member]
		switch {
		case isMapped && isLeftOut:
			t.Errorf("%s is both in the table and left out", member)
		case !isMapped && !isLeftOut:
			t.Errorf("%s is neither in docs/api.md's tables nor left out there", member)
		case isLeftOut && len(reason) < 20:
			t.Errorf("%s is left out without a reason", member)
		}
	}
	for _, names := range []map[string]string{table.tests, table.leftOut} {
		for member := range names {
			if !members[member] {
				t.Errorf("docs/api.md has %s, which the types do not", member)
			}
		}
	}
}

func TestEveryGoNameInTheTableExists(t *testing.T) {
	names := goNames(t, filepath.Join(root, "durable"))
	for member, mapped := range readTable(t).mapped {
		for _, name := range mapped {
			if !names[name] {
				t.Errorf("%s has the Go name durable.%s, which does not exist", member, name)
			}
		}
		if len(mapped) == 0 {
			t.Errorf("%s has no Go name", member)
		}
	}
}

func TestEveryTestInTheTableExists(t *testing.T) {
	tests := testNames(t)
	for member, name := range readTable(t).tests {
		if !tests[name] {
			t.Errorf("%s has the test %s, which does not exist", member, name)
		}
	}
}

var sentinel, limit = regexp.MustCompile(`^Err[A-Z]\w*$`), regexp.MustCompile(`^M(ax|in)[A-Z]\w*$`)

func TestDocsNameEverySentinelAndLimit(t *testing.T) {
	for name := range goNames(t, filepath.Join(root, "durable")) {
		page := ""
		switch {
		case sentinel.MatchString(name):
			page = "errors.md"
		case limit.MatchString(name):
			page = "limits.md"
		default:
			continue
		}
		if !strings.Contains(readDoc(t, page), "`"+name+"`") {
			t.Errorf("docs/%s does not name %s", page, name)
		}
	}
}

// table is docs/api.md: its tables' rows are | `Interface.member` | `Go`, `Go`
// | `Test` |, and, below the heading "Left out",
// | `Interface.member` | reason |.
type table struct {
	mapped         map[string][]string
	tests, leftOut map[string]string
}

var code = regexp.MustCompile("`([^`]+)`")

func readTable(t *testing.T) table {
	t.Helper()
	tab := table{map[string][]string{}, map[string]string{}, map[string]string{}}
	kept, leftOut, ok := strings.Cut(readDoc(t, "api.md"), "\n## Left out\n")
	if !ok {
		t.Fatal("docs/api.md has no heading Left out")
	}
	for _, cells := range rows(kept) {
		member := cells[0][0]
		if len(cells) != 3 || len(cells[2]) != 1 || tab.tests[member] != "" {
			t.Fatalf("the row of %s does not have one member, Go names and a test, or it appears twice", member)
		}
		tab.mapped[member], tab.tests[member] = cells[1], cells[2][0]
	}
	for line := range strings.Lines(leftOut) {
		cells := strings.Split(line, "|")
		if len(cells) != 4 {
			continue
		}
		for _, member := range code.FindAllStringSubmatch(cells[1], -1) {
			tab.leftOut[member[1]] = strings.TrimSpace(cells[2])
		}
	}
	return tab
}

// rows returns the cells of the tables, each as a list of its code spans. Rows
// without code in the first cell are headings.
func rows(markdown string) (rows [][][]string) {
	for line := range strings.Lines(markdown) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		var cells [][]string
		for _, cell := range strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ") {
			var names []string
			for _, name := range code.FindAllStringSubmatch(cell, -1) {
				names = append(names, name[1])
			}
			cells = append(cells, names)
		}
		rows = append(rows, cells)
	}
	return rows
}

func readDoc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// goNames returns the exported names of a package: Func, Type, Type.Method,
// Type.Field, Const, Var.
func goNames(t *testing.T, dir string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, file := range parseDir(t, dir, func(name string) bool { return !strings.HasSuffix(name, "_test.go") }) {
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				names[receiver(d)+d.Name.Name] = true
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					addSpec(names, spec)
				}
			}
		}
	}
	promote(names)
	for name := range names {
		if !ast.IsExported(name) || strings.Contains(name, ".") && !ast.IsExported(name[strings.Index(name, ".")+1:]) {
			delete(names, name)
		}
	}
	return names
}

// promote adds to Storage and Transaction the methods of their embedded type.
func promote(names map[string]bool) {
	for name := range maps.Clone(names) {
		if method, ok := strings.CutPrefix(name, "AsyncKV."); ok {
			names["Storage."+method], names["Transaction."+method] = true, true
		}
	}
}

func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	expr := d.Recv.List[0].Type
	if star, ok := expr.(*ast.StarExpr); ok {
		expr = star.X
	}
	switch index := expr.(type) {
	case *ast.IndexExpr:
		expr = index.X
	case *ast.IndexListExpr:
		expr = index.X
	}
	return expr.(*ast.Ident).Name + "."
}

func addSpec(names map[string]bool, spec ast.Spec) {
	switch s := spec.(type) {
	case *ast.ValueSpec:
		for _, name := range s.Names {
			names[name.Name] = true
		}
	case *ast.TypeSpec:
		names[s.Name.Name] = true
		var fields *ast.FieldList
		switch u := s.Type.(type) {
		case *ast.StructType:
			fields = u.Fields
		case *ast.InterfaceType:
			fields = u.Methods
		default:
			return
		}
		for _, f := range fields.List {
			for _, name := range f.Names {
				names[s.Name.Name+"."+name.Name] = true
			}
		}
	}
}

// testNames returns the names of all tests in the module.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); name == "node_modules" || name == "testdata" || strings.HasPrefix(name, ".") && path != root {
			return filepath.SkipDir
		}
		for _, file := range parseDir(t, path, func(name string) bool { return strings.HasSuffix(name, "_test.go") }) {
			for _, decl := range file.Decls {
				if d, ok := decl.(*ast.FuncDecl); ok && d.Recv == nil && strings.HasPrefix(d.Name.Name, "Test") {
					names[d.Name.Name] = true
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func parseDir(t *testing.T, dir string, isWanted func(name string) bool) (files []*ast.File) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if !isWanted(path) {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// In TestConstantsHaveTheirValues each string of a union in the types must have
// a constant.
func TestConstantsHaveTheirValues(t *testing.T) {
	values := constants(t, filepath.Join(root, "durable"))
	for member, name := range readTable(t).tests {
		if name != t.Name() {
			continue
		}
		_, want, _ := strings.Cut(member, ".")
		for _, constant := range readTable(t).mapped[member] {
			if values[constant] != want {
				t.Errorf("%s is %q, want %q", constant, values[constant], want)
			}
		}
	}
}

// constants returns the string constants of a package.
func constants(t *testing.T, dir string) map[string]string {
	t.Helper()
	values := map[string]string{}
	for _, file := range parseDir(t, dir, func(name string) bool { return !strings.HasSuffix(name, "_test.go") }) {
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.ValueSpec); ok && len(s.Values) == 1 {
				if literal, ok := s.Values[0].(*ast.BasicLit); ok && literal.Kind == token.STRING {
					values[s.Names[0].Name] = strings.Trim(literal.Value, `"`)
				}
			}
			return true
		})
	}
	return values
}
