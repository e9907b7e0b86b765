package sqltext

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
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

func TestNames(t *testing.T) {
	for query, want := range map[string]string{
		"select created_at as at from t":                                   "map[at:[created_at]]",
		"select t.created_at as at, main.t.[day] AS \"Day\" from t":        "map[at:[created_at] day:[day]]",
		"select created_at at, day d from t":                               "map[at:[created_at] d:[day]]",
		"select max(created_at) as latest, MIN(t.\"created_at\") f from t": "map[f:[created_at] latest:[created_at]]",
		"select date(created_at) as created_at from t":                     "map[created_at:[]]",
		"select created_at || 'x' as at from t":                            "map[at:[]]",
		"select 'x' || created_at as at from t":                            "map[at:[]]",
		"select max(a, b) as m, max(x+1) as n from t":                      "map[m:[] n:[]]",
		"select 1 + max(created_at) as m from t":                           "map[m:[]]",
		"select max(created_at) over (order by id) as m from t":            "map[m:[]]",
		"select (created_at) as m, (select max(x) from t) as n from t":     "map[m:[] n:[]]",
		"select cast(created_at as text) from t":                           "map[]",
		"select cast(created_at as text) as at from t":                     "map[at:[]]",
		"select case when 1 then a end as x from t":                        "map[x:[]]",
		"insert into t values (1) returning created_at as at":              "map[at:[created_at]]",
		"select distinct created_at as at from t":                          "map[at:[created_at]]",
		"with r as (select created_at as at from t) select at as x from r": "map[at:[created_at] x:[at]]",
		"select 1 as one, null as n, ?1 as p":                              "map[n:[] one:[] p:[]]",
		"select 'a''b' as s -- as x\n, `a``b` as q /* as y */":             "map[q:[a`b] s:[]]",
		"select count(*) from t":                                           "map[]",
		"":                                                                 "map[]",
	} {
		if got := fmt.Sprint(Names(query)); got != want {
			t.Errorf("%s\n%s, want %s", query, got, want)
		}
	}
}

func TestSource(t *testing.T) {
	for text, want := range map[string]string{
		"max(created_at)": "created_at", "MIN( t . \"At\" )": "at", "x": "x", "max(a, b)": "", "date(x)": "", "max(x": "x", "max()": "", ")": "", "max(x) + 1": "", "": "", "(x)": "", "count(x)": "",
	} {
		if got := Source(text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestMentions(t *testing.T) {
	if !Mentions(`select * from "V"`, "v") || Mentions("select 'v' -- v", "v") {
		t.Error("a name was not found, or found where there is none")
	}
}

func FuzzNames(f *testing.F) {
	f.Add("select max(t.\"a\") as b, c d from (select ')as(' as x)")
	f.Fuzz(func(t *testing.T, query string) {
		Names(query)
		Source(query)
		Mentions(query, "x")
	})
}

func TestParseTime(t *testing.T) {
	for text, want := range map[string]time.Time{
		"2026-01-02T03:04:05.120Z":         time.Date(2026, 1, 2, 3, 4, 5, 120e6, time.UTC),
		"2026-01-02 03:04:05":              time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		"2026-01-02 03:04:05.000000001":    time.Date(2026, 1, 2, 3, 4, 5, 1, time.UTC),
		"2026-01-02 03:04:05.12+01:00":     time.Date(2026, 1, 2, 2, 4, 5, 120e6, time.UTC),
		"2026-01-02 03:04:05.12 +0100 CET": time.Date(2026, 1, 2, 2, 4, 5, 120e6, time.UTC),
		"2026-01-02":                       time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC),
		"2026-01-02-03":                    {},
		"2026-13-02":                       {},
		"2026-01-02 03:04:05 and more":     {},
		"0123-5678-":                       {},
		"now":                              {},
		"":                                 {},
	} {
		if got, ok := ParseTime(text); got != want || ok == want.IsZero() {
			t.Errorf("%q became %v, %v", text, got, ok)
		}
	}
}
