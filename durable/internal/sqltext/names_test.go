package sqltext

import (
	"fmt"
	"testing"
)

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
