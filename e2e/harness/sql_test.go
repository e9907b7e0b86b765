//go:build !js

package harness

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

var sqlTests = []test{
	{"sql: on key-value storage it is a named error", (*server).testNoSQL}, // first: TestKeyValue runs it alone
	{"sql: exec, and rows as objects", (*server).testObjects},
	{"sql: bindings and raw rows keep their types", (*server).testRaw},
	{"sql: a cursor's lines", (*server).testCursor},
	{"sql: a broken statement is 4xx with SQLite's name", (*server).testBrokenSQL},
	{"sql: the limits, at each and one beyond", (*server).testSQLLimits},
	{"sql: bad input is 400 and names the field", (*server).testBadSQL},
	{"sql: 100,000 rows in bounded memory", (*server).testManyRows},
}

const execSQL = "POST /sql/exec?binding=FLOW_SQL_DO&object="

// sqlBody is a request's body; bindings are JSON.
func sqlBody(mode, query string, bindings ...string) string {
	q, err := json.Marshal(query)
	if err != nil {
		panic(err)
	}
	return `{"query":` + string(q) + `,"mode":"` + mode + `","bindings":[` + strings.Join(bindings, ",") + `]}`
}

func (s *server) testNoSQL() {
	if !s.isKV {
		s.want("POST /sql/exec", `{"query":"SELECT 1 AS n"}`, 200, `{"rows":[{"n":1}]}`)
		return
	}
	if name := s.wantError("POST /sql/exec", `{"query":"SELECT 1"}`, 400, "no_sql", ""); name != "ErrNoSQL" {
		s.t.Errorf("the error is named %q", name)
	}
	s.wantError("POST /sequence/next?binding=FLOW_DO", `{"stream":"s","key":"k"}`, 400, "no_sql", "") // sequencers need SQLite
}

func (s *server) testObjects() {
	const exec = execSQL + "objects"
	s.want(exec, sqlBody("", "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, price REAL, data BLOB)"), 200, `{"rows":[]}`)
	s.want(exec, sqlBody("json", "INSERT INTO t VALUES (1, ?, 2.5, x'00ff'), (?, NULL, 3, NULL)", `{"type":"string","value":"a"}`, `{"type":"integer","value":2}`), 200, `{"rows":[]}`)
	s.want(exec, sqlBody("json", "SELECT * FROM t ORDER BY id;"), 200,
		`{"rows":[{"data":"AP8=","id":1,"name":"a","price":2.5},{"data":null,"id":2,"name":null,"price":3}]}`)
	s.want(exec, sqlBody("json", "SELECT id FROM t ORDER BY id DESC -- the last first"), 200, `{"rows":[{"id":2},{"id":1}]}`)
	s.want(exec, sqlBody("json", "UPDATE t SET name = 'b' WHERE id = 1 RETURNING id, name"), 200, `{"rows":[{"id":1,"name":"b"}]}`)
	s.want(exec, sqlBody("json", "DELETE FROM t; SELECT count(*) AS n FROM t"), 200, `{"rows":[{"n":0}]}`)
	s.want("POST /sql/exec?binding=FLOW_SQL_DO&object=empty", sqlBody("json", "SELECT count(*) AS n FROM sqlite_master WHERE name = 't'"), 200, `{"rows":[{"n":0}]}`)
}

func (s *server) testRaw() {
	const exec = execSQL + "raw"
	for _, v := range []struct{ binding, cell string }{
		{`{"type":"null"}`, `{"type":"null","value":null}`},
		{`{"type":"boolean","value":true}`, `{"type":"integer","value":1}`},
		{`{"type":"integer","value":5}`, `{"type":"integer","value":5}`},
		{`{"type":"integer","value":9007199254740993}`, `{"type":"integer","value":9007199254740993}`},
		{`{"type":"integer","value":"-9223372036854775808"}`, `{"type":"integer","value":-9223372036854775808}`},
		{`{"type":"integer","value":9223372036854775807}`, `{"type":"integer","value":9223372036854775807}`},
		{`{"type":"float","value":5}`, `{"type":"float","value":5}`},
		{`{"type":"float","value":1e300}`, `{"type":"float","value":1e+300}`},
		{`{"type":"string","value":"i5"}`, `{"type":"string","value":"i5"}`},
		{`{"type":"string","value":""}`, `{"type":"string","value":""}`},
		{`{"type":"string","value":"<–𝄞>"}`, `{"type":"string","value":"<–𝄞>"}`},
		{`{"type":"blob","value":"AP8="}`, `{"type":"blob","value":"AP8="}`},
		{`{"type":"blob","value":""}`, `{"type":"blob","value":""}`},
	} {
		s.want(exec, sqlBody("raw", "SELECT ? AS v", v.binding), 200, `{"rows":[[`+v.cell+`]]}`)
	}
	s.want(exec, sqlBody("raw", "SELECT 9e999 AS v"), 200, `{"rows":[[{"type":"float","value":"+Inf"}]]}`)
	s.want(exec, sqlBody("raw", "VALUES (1, 'a'), (2, 'b')"), 200,
		`{"rows":[[{"type":"integer","value":1},{"type":"string","value":"a"}],[{"type":"integer","value":2},{"type":"string","value":"b"}]]}`)
	s.want(exec, sqlBody("json", "WITH big(n) AS (VALUES (9007199254740993)) SELECT n FROM big"), 200, `{"rows":[{"n":9007199254740993}]}`)

	// A statement that writes must return only small integers: larger ones do
	// not arrive exactly.
	s.want(exec, sqlBody("raw", "CREATE TABLE n (v INTEGER)"), 200, `{"rows":[]}`)
	s.want(exec, sqlBody("raw", "INSERT INTO n VALUES (7) RETURNING v"), 200, `{"rows":[[{"type":"integer","value":7}]]}`)
	s.wantError(exec, sqlBody("raw", "INSERT INTO n VALUES (9007199254740993) RETURNING v"), 400, "invalid_value", "")
	s.want(exec, sqlBody("raw", "SELECT v FROM n ORDER BY v"), 200, `{"rows":[[{"type":"integer","value":7}],[{"type":"integer","value":9007199254740993}]]}`)
}

func (s *server) testCursor() {
	const exec = execSQL + "cursor"
	s.want(exec, sqlBody("cursor", "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)"), 200, `{"columnNames":[],"rowsRead":1,"rowsWritten":2}`)
	s.want(exec, sqlBody("cursor", "INSERT INTO t VALUES (1, 'x'), (2, NULL)"), 200, `{"columnNames":[],"rowsRead":2,"rowsWritten":2}`)
	s.want(exec, sqlBody("cursor", "SELECT b, a FROM t ORDER BY a"), 200, `["x",1]`+"\n"+`[null,2]`+"\n"+`{"columnNames":["b","a"],"rowsRead":2,"rowsWritten":0}`)
	s.want(exec, sqlBody("cursor", "SELECT a FROM t WHERE a > 2"), 200, `{"columnNames":["a"],"rowsRead":1,"rowsWritten":0}`)
	// After rows were sent, an error is the last line.
	status, text, err := s.send(s.t.Context(), exec, sqlBody("cursor", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 300) SELECT abs(CASE i WHEN 290 THEN -9223372036854775808 ELSE i END) FROM n"))
	lines := strings.Split(text, "\n")
	if err != nil || status != 200 || len(lines) < 100 || lines[0] != "[1]" || !strings.Contains(lines[len(lines)-1], `"error":"integer overflow`) {
		s.t.Errorf("%d, %d lines, the last %s, %v", status, len(lines), lines[len(lines)-1], err)
	}
}

func (s *server) testBrokenSQL() {
	const exec = execSQL + "broken"
	s.want(exec, sqlBody("", "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT NOT NULL)"), 200, `{"rows":[]}`)
	s.want(exec, sqlBody("", "INSERT INTO t VALUES (1, 'x')"), 200, `{"rows":[]}`)
	for _, mode := range []string{"json", "raw", "cursor"} {
		for _, bad := range []struct {
			query      string
			bindings   []string
			status     int
			code, name string
		}{
			{"SELEC 1", nil, 400, "sql_error", "SQLITE_ERROR"},
			{"SELECT 1)", nil, 400, "sql_error", "SQLITE_ERROR"},
			{"SELECT * FROM nothing", nil, 400, "sql_error", "SQLITE_ERROR"},
			{"SELECT abs(-9223372036854775808)", nil, 400, "sql_error", "SQLITE_ERROR"},
			{"INSERT INTO t VALUES (1, 'y')", nil, 409, "constraint", "SQLITE_CONSTRAINT_PRIMARYKEY"},
			{"INSERT INTO t VALUES (2, NULL)", nil, 409, "constraint", "SQLITE_CONSTRAINT_NOTNULL"},
			{"ATTACH 'x' AS y", nil, 400, "sql_error", "SQLITE_AUTH"},
			{"SELECT '" + strings.Repeat("x", 100_000) + "'", nil, 413, "limit_exceeded", "ErrLimit"},
			{"SELECT 'x' LIKE '" + strings.Repeat("x", 51) + "'", nil, 413, "limit_exceeded", "SQLITE_ERROR"},
			{"SELECT 1", slicesRepeat(`{"type":"null"}`, 101), 413, "limit_exceeded", "ErrLimit"},
		} {
			if name := s.wantError(exec, sqlBody(mode, bad.query, bad.bindings...), bad.status, bad.code, ""); name != bad.name {
				s.t.Errorf("%.50s: the error is named %q, want %q", bad.query, name, bad.name)
			}
		}
	}
	s.want(exec, sqlBody("", "SELECT a, b FROM t"), 200, `{"rows":[{"a":1,"b":"x"}]}`)
}

// testSQLLimits tests each limit with a value at it and a value beyond it.
func (s *server) testSQLLimits() {
	const exec = execSQL + "limits"
	numbered := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf("c%d INTEGER", i))
		}
		return strings.Join(list, ", ")
	}
	text := func(n int) string { return `{"type":"string","value":"` + strings.Repeat("x", n) + `"}` }
	s.want(exec, sqlBody("", "CREATE TABLE texts (a TEXT)"), 200, `{"rows":[]}`)
	for _, limit := range []struct {
		what       string
		max        int
		query      func(n int) (query string, bindings []string)
		status     int
		code, name string
	}{
		{"columns of a table", 100, func(n int) (string, []string) {
			return fmt.Sprintf("CREATE TABLE t%d (%s)", n, numbered(n)), nil
		}, 413, "limit_exceeded", "SQLITE_ERROR"},
		{"bytes of a value", 2_000_000, func(n int) (string, []string) {
			return "INSERT INTO texts VALUES (?)", []string{text(n)}
		}, 413, "limit_exceeded", "ErrLimit"},
		{"bytes of a statement", 100_000, func(n int) (string, []string) {
			return "SELECT /*" + strings.Repeat("x", n-len("SELECT /**/1 WHERE 0")) + "*/1 WHERE 0", nil
		}, 413, "limit_exceeded", "ErrLimit"},
		{"bound parameters", 100, func(n int) (string, []string) {
			return "SELECT 1 WHERE 0 IN (" + strings.Join(slicesRepeat("?", n), ",") + ") AND 0", slicesRepeat(`{"type":"null"}`, n)
		}, 413, "limit_exceeded", "ErrLimit"},
		{"bytes of a pattern", 50, func(n int) (string, []string) {
			return "SELECT 1 WHERE 'x' LIKE '" + strings.Repeat("y", n) + "'", nil
		}, 413, "limit_exceeded", "SQLITE_ERROR"},
	} {
		query, bindings := limit.query(limit.max)
		s.want(exec, sqlBody("", query, bindings...), 200, `{"rows":[]}`)
		query, bindings = limit.query(limit.max + 1)
		if name := s.wantError(exec, sqlBody("", query, bindings...), limit.status, limit.code, ""); name != limit.name {
			s.t.Errorf("%s: the error is named %q", limit.what, name)
		}
	}
}

func slicesRepeat(s string, n int) (list []string) {
	for range n {
		list = append(list, s)
	}
	return list
}

func (s *server) testBadSQL() {
	const exec = execSQL + "bad"
	for body, field := range map[string]string{
		`{}`:                                 "query",
		`{"query":""}`:                       "query",
		`{"query":1}`:                        "query",
		`{"query":"SELECT 1","mode":"rows"}`: "mode",
		`{"query":"SELECT 1","params":[]}`:   "params",
		`{"query":"SELECT ?","bindings":[{"value":1}]}`:                                    "bindings[0]",
		`{"query":"SELECT ?","bindings":[{"type":"number","value":1}]}`:                    "bindings[0]",
		`{"query":"SELECT ?","bindings":[{"type":"integer","value":1.5}]}`:                 "bindings[0]",
		`{"query":"SELECT ?","bindings":[{"type":"integer","value":9223372036854775808}]}`: "bindings[0]",
		`{"query":"SELECT ?","bindings":[{"type":"null"},{"type":"integer"}]}`:             "bindings[1]",
		`{"query":"SELECT ?","bindings":[{"type":"float","value":"1"}]}`:                   "bindings[0]",
		`{"query":"SELECT ?","bindings":[{"type":"string","value":1}]}`:                    "bindings[0]",
		`{"query":"SELECT ?","bindings":[{"type":"string","value":null}]}`:                 "bindings[0]",
		`{"query":"SELECT ?","bindings":[{"type":"boolean","value":1}]}`:                   "bindings[0]",
		`{"query":"SELECT ?","bindings":[{"type":"blob","value":"!"}]}`:                    "bindings[0]",
	} {
		s.wantError(exec, body, 400, "invalid_input", field)
	}
	s.wantError("POST /sql/exec?binding=NOPE", `{"query":"SELECT 1"}`, 500, "no_binding", "")
	s.wantError(exec, sqlBody("json", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 20000) SELECT hex(zeroblob(500)) FROM n"), 413, "result_too_large", "")
}

// testManyRows reads 100 MB of rows, after a pause. During the pause a server
// without limits would have made all rows.
func (s *server) testManyRows() {
	s.readRows(30_000, 0, func() {}) // memory that V8 and the Go program keep for such work
	before, largest := s.Memory(), 0
	n := s.readRows(100_000, 3*time.Second, func() { largest = max(largest, s.Memory()) })
	grown := (largest - before) >> 20
	s.t.Logf("%d MB of rows; workerd's memory grew by %d MiB", n/1_000_000, grown)
	if n < 100_000_000 || grown > 48 {
		s.t.Errorf("while %d bytes were read, workerd's memory grew by %d MiB", n, grown)
	}
}

// readRows reads rows of 1,000 bytes after a pause, and returns their size in
// bytes. It calls look from time to time.
func (s *server) readRows(rows int, pause time.Duration, look func()) (size int) {
	s.t.Helper()
	query := fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < %d) SELECT i, hex(zeroblob(500)) FROM n", rows)
	resp, err := client.Do(s.request(s.t.Context(), execSQL+"many", sqlBody("cursor", query)))
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/x-ndjson" {
		s.t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	time.Sleep(pause)
	look()
	n, last := 0, ""
	lines := bufio.NewScanner(resp.Body)
	for ; lines.Scan(); n++ {
		last = lines.Text()
		size += len(last)
		if n%10_000 == 0 {
			look()
		}
	}
	if n != rows+1 || !strings.HasPrefix(last, `{"columnNames":["i",`) || lines.Err() != nil {
		s.t.Errorf("%d lines, the last %s, %v", n, last, lines.Err())
	}
	return size
}
