package sqltext

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestStatements(t *testing.T) {
	for _, c := range []struct {
		query, want string
		many        bool
	}{
		{"select 1", "select 1", false},
		{"select 1;", "select 1", false},
		{"select 1 ; \n", "select 1", false},
		{"select 1; -- one row", "select 1", false},
		{"select 1 -- one row", "select 1", false},
		{"select 1; /* one row", "select 1", false},
		{"select 1;; ; -- x\n ;", "select 1", false},
		{"-- first\nselect 1; ", "-- first\nselect 1", false},
		{"; select 1", "  select 1", false},
		{" ;/* ; */; select 1;; select 2;", "  /* ; */  select 1;  select 2", true},
		{"select 1; select 2 /* ; */", "select 1; select 2", true},
		{"select ';'", "select ';'", false},
		{`select ";", [;], ` + "`;`", `select ";", [;], ` + "`;`", false},
		{"", "", false},
		{" ;; -- nothing", "", false},
		{"/* nothing */", "", false},
		{"\v\f\r\n\t ", "", false},
		{"create trigger g after insert on t begin delete from t; end;", "create trigger g after insert on t begin delete from t; end", true},
	} {
		text, many := Statements(c.query)
		if text != c.want || many != c.many {
			t.Errorf("%q became %q, many: %v", c.query, text, many)
		}
	}
}

func TestSplit(t *testing.T) {
	for _, want := range [][]string{
		{"select 1"},
		{"select 1", "select 2"},
		{"select ';'", "insert into t values (';') /* ; */ returning a"},
		{"create trigger g after insert on t begin delete from t; select case when 1 then 2 end; end", "select 1"},
		{"CREATE TEMP TRIGGER g after insert on t begin delete from t; END", "select 1"},
		{"explain create trigger g after insert on t begin delete from t; end", "explain select 1", "explain"},
		{"create table trigger_of (x)", "select 1 as trigger", "end"},
		{"create view trigger as select 1", "select 2"},
		{"create trigger [end] after insert on t begin select 1 as 'end'; select \"end\" from t; end"},
	} {
		text := strings.Join(want, " ; -- x\n ")
		if got := Split(text); !slices.Equal(got, want) {
			t.Errorf("%q became %q", text, got)
		}
	}
	if got := Split(""); got != nil {
		t.Errorf("nothing became %q", got)
	}
}

func TestVerb(t *testing.T) {
	for text, want := range map[string]string{
		"insert into t values (1)": "INSERT", "  /* x */ Replace into t values (1)": "REPLACE", "create table t (x)": "CREATE", "": "",
		"select 1; update t set x = 1": "UPDATE", "explain delete from t": "EXPLAIN", "values (1)": "VALUES",
		"with r(n) as (select 1) insert into t select n from r":                         "INSERT",
		"with recursive r as materialized (delete), s as (select 1) select * from r, s": "SELECT",
		"with [insert] as (values (1)) delete from t where x in (select 1)":             "DELETE",
	} {
		if got := Verb(text); got != want {
			t.Errorf("%q: %s", text, got)
		}
	}
}

func TestParametersAreThoseOfTheLastStatement(t *testing.T) {
	names, highest := Parameters("select :x; select :a, ?5, @b, :a, '$c', $d")
	if !maps.Equal(names, map[string]int{":a": 1, "@b": 6, "$d": 7}) || highest != 7 {
		t.Errorf("%v, %d", names, highest)
	}
}

// SQLite must ignore what was cut off or blanked, and the rest must be in its
// place.
func FuzzStatements(f *testing.F) {
	for _, s := range []string{"", ";", "select 1;;--\n;/*", "a;'b;'';[", "\x00;x", "é;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		text, _ := Statements(query)
		if len(text) > len(query) {
			t.Fatalf("%q became %q", query, text)
		}
		for i := range len(text) {
			if text[i] != query[i] && (query[i] != ';' || text[i] != ' ') {
				t.Fatalf("%q became %q", query, text)
			}
		}
		if again, _ := Statements(text); again != text {
			t.Fatalf("%q became %q, then %q", query, text, again)
		}
		for _, statement := range Split(text) {
			if Split(statement)[0] != statement {
				t.Fatalf("%q in %q is not a statement", statement, text)
			}
		}
		Verb(text)
		Parameters(text)
	})
}
