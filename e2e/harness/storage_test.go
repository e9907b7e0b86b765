//go:build !js

package harness

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

var storageTests = []test{
	{"storage: put, get, delete", (*server).testStorage},
	{"storage: list in order from start", (*server).testList},
	{"storage: list in pages", (*server).testPages},
	{"storage: a value's TTL", (*server).testValueTTL},
	{"storage: bad input is 400 and names the field", (*server).testBadStorage},
	{"storage: a value that is too large is 413", (*server).testLargeValues},
}

func (s *server) testStorage() {
	const object = "?object=crud"
	s.want("GET /storage/get"+object+"&key=a", "", 200, `{"found":false,"value":null}`)
	s.want("DELETE /storage/delete"+object+"&key=a", "", 200, `{"deleted":false}`)
	for _, value := range []string{`"text"`, `7`, `1.5`, `-0.25`, `9007199254740993`, `true`, `false`, `""`, `[]`, `[1,"two",[3.5]]`, `{"n":{"m":[null]}}`, `"–𝄞\u0000"`} {
		s.want("POST /storage/put"+object, `{"key":"a","value":`+value+`}`, 200, `{"success":true}`)
		s.want("GET /storage/get"+object+"&key=a", "", 200, `{"found":true,"value":`+value+`}`)
	}
	s.want("POST /storage/put"+object, `{"key":"a","value":"AP8=","encoding":"base64"}`, 200, `{"success":true}`)
	s.want("GET /storage/get"+object+"&key=a", "", 200, `{"encoding":"base64","found":true,"value":"AP8="}`)
	s.want("GET /storage/get?object=another&key=a", "", 200, `{"found":false,"value":null}`)
	s.want("GET /storage/get?key=a", "", 200, `{"found":false,"value":null}`)
	s.want("GET /storage/get"+object+"&key=a&binding=FLOW_SQL_DO", "", 200, `{"found":false,"value":null}`)
	s.want("DELETE /storage/delete"+object+"&key=a", "", 200, `{"deleted":true}`)
	s.want("GET /storage/get"+object+"&key=a", "", 200, `{"found":false,"value":null}`)
	odd := "k/ä &?\x01"
	s.want("POST /storage/put"+object, `{"key":"k/ä &?\u0001","value":1}`, 200, `{"success":true}`)
	s.want("GET /storage/get"+object+"&key="+url.QueryEscape(odd), "", 200, `{"found":true,"value":1}`)
}

func (s *server) testList() {
	const object = "?object=list"
	for _, key := range []string{"b1", "a2", "_h", "a1", "b2", "zz"} {
		s.want("POST /storage/put"+object, `{"key":"`+key+`","value":1,"ttl_seconds":3600}`, 200, `{"success":true}`)
	}
	for query, want := range map[string]string{
		"":                        `["_h","a1","a2","b1","b2","zz"]`,
		"&prefix=a":               `["a1","a2"]`,
		"&start=a2":               `["a2","b1","b2","zz"]`, // inclusive
		"&start=a3":               `["b1","b2","zz"]`,
		"&prefix=b&start=b2":      `["b2"]`,
		"&prefix=b&start=c":       `[]`,
		"&prefix=nothing":         `[]`,
		"&prefix=&start=&limit=6": `["_h","a1","a2","b1","b2","zz"]`,
	} {
		s.want("GET /storage/list"+object+query, "", 200, `{"keys":`+want+`}`)
	}
	s.want("GET /storage/list"+object+"&limit=2", "", 200, `{"keys":["_h","a1"],"next":"a1\u0000"}`)
	s.want("GET /storage/list"+object+"&start=a1%00&limit=4", "", 200, `{"keys":["a2","b1","b2","zz"]}`)
}

// A page of the answer needs several reads of the object.
func (s *server) testPages() {
	const object, n = "?object=pages", 70
	var want []string
	for i := range n {
		key := fmt.Sprintf("key %03d", i)
		want = append(want, key)
		s.want("POST /storage/put"+object, `{"key":"`+key+`","value":1}`, 200, `{"success":true}`)
	}
	var got []string
	for start, pages := "", 0; pages < 10; pages++ {
		var page struct {
			Keys []string
			Next *string
		}
		s.decode(&page, "GET /storage/list"+object+"&limit=33&start="+url.QueryEscape(start), "")
		got = append(got, page.Keys...)
		if page.Next == nil {
			break
		}
		start = *page.Next
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("the pages contain %q", got)
	}
}

func (s *server) testValueTTL() {
	const object = "?object=ttl"
	put := func(key, rest string) {
		s.t.Helper()
		s.want("POST /storage/put"+object, `{"key":"`+key+`","value":1`+rest+`}`, 200, `{"success":true}`)
	}
	found := func(key string, want bool) {
		s.t.Helper()
		answer := `{"found":false,"value":null}`
		if want {
			answer = `{"found":true,"value":1}`
		}
		s.want("GET /storage/get"+object+"&key="+key, "", 200, answer)
	}
	put("long", `,"ttl_seconds":3600`)
	put("stays", ``)
	put("longer", `,"ttl_seconds":1`)
	put("longer", `,"ttl_seconds":3600`)
	put("freed", `,"ttl_seconds":1`)
	put("freed", ``)
	put("again", `,"ttl_seconds":3600`)
	put("again", `,"ttl_seconds":1`)
	began := time.Now()
	put("short", `,"ttl_seconds":0.8`)
	if time.Since(began) < 700*time.Millisecond {
		found("short", true)
	}
	time.Sleep(1200 * time.Millisecond)
	for key, want := range map[string]bool{"short": false, "again": false, "long": true, "stays": true, "longer": true, "freed": true} {
		found(key, want)
	}
	s.want("GET /storage/list"+object, "", 200, `{"keys":["freed","long","longer","stays"]}`)
	s.want("DELETE /storage/delete"+object+"&key=short", "", 200, `{"deleted":false}`)
	s.want("GET /alarm/get"+object, "", 200, `{"alarm_ms":null}`) // the user has not set an alarm
}

func (s *server) testBadStorage() {
	for _, bad := range []struct{ line, body, field string }{
		{"POST /storage/put", `{"value":1}`, "key"},
		{"POST /storage/put", `{"key":"","value":1}`, "key"},
		{"POST /storage/put", `{"key":7,"value":1}`, "key"},
		{"POST /storage/put", `{"key":"_harness_alarm","value":1}`, "key"},
		{"POST /storage/put", `{"key":"k"}`, "value"},
		{"POST /storage/put", `{"key":"k","value":null}`, "value"},
		{"POST /storage/put", `{"key":"k","value":1e400}`, "value"},
		{"POST /storage/put", `{"key":"k","value":7,"encoding":"base64"}`, "value"},
		{"POST /storage/put", `{"key":"k","value":"!","encoding":"base64"}`, "value"},
		{"POST /storage/put", `{"key":"k","value":"x","encoding":"hex"}`, "encoding"},
		{"POST /storage/put", `{"key":"k","value":1,"ttl_seconds":0}`, "ttl_seconds"},
		{"POST /storage/put", `{"key":"k","value":1,"ttl_seconds":-1}`, "ttl_seconds"},
		{"POST /storage/put", `{"key":"k","value":1,"ttl_seconds":1e12}`, "ttl_seconds"},
		{"POST /storage/put", `{"key":"k","value":1,"ttl_seconds":"1"}`, "ttl_seconds"},
		{"POST /storage/put", `{"key":"k","value":1,"ttl":1}`, "ttl"},
		{"POST /storage/put?object=capdo.dedupe.v1:a:b", `{"key":"k","value":1}`, "object"},
		{"POST /storage/put?object=" + strings.Repeat("x", 1025), `{"key":"k","value":1}`, "object"},
		{"GET /storage/get", "", "key"},
		{"GET /storage/get?key=_harness_log", "", "key"},
		{"DELETE /storage/delete", "", "key"},
		{"DELETE /storage/delete?key=_harness_alarm", "", "key"},
		{"GET /storage/list?limit=0", "", "limit"},
		{"GET /storage/list?limit=1001", "", "limit"},
		{"GET /storage/list?limit=x", "", "limit"},
	} {
		s.wantError(bad.line, bad.body, 400, "invalid_input", bad.field)
	}
	s.wantError("POST /storage/put", ``, 400, "invalid_json", "")
	s.wantError("GET /storage/get?key=a&binding=NOPE", "", 500, "no_binding", "")
}

func (s *server) testLargeValues() {
	limit := 2_000_000 - len("k")
	if s.isKV {
		limit = 128 << 10
	}
	put := func(n int) string { return `{"key":"k","value":"` + strings.Repeat("x", n) + `"}` }
	s.want("POST /storage/put?object=large", put(limit), 200, `{"success":true}`)
	if name := s.wantError("POST /storage/put?object=large", put(limit+1), 413, "limit_exceeded", ""); name != "ErrLimit" {
		s.t.Errorf("the error is named %q", name)
	}
	s.wantError("POST /storage/put?object=large", put(5<<20), 413, "body_too_large", "")
	key := strings.Repeat("k", 2049)
	if s.isKV {
		s.wantError("GET /storage/get?key="+key, "", 413, "limit_exceeded", "")
		s.wantError("POST /storage/put", `{"key":"`+key+`","value":1}`, 413, "limit_exceeded", "")
	} else {
		s.want("GET /storage/get?key="+key, "", 200, `{"found":false,"value":null}`)
	}
}
