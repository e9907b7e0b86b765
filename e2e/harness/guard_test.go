//go:build !js

package harness

import (
	"net/http"
	"strings"
	"testing"

	"flow.internal/capdo/e2e/internal/dev"
	"flow.internal/capdo/e2e/internal/request"
)

var guardTests = []test{
	{"guard: foreign pages, plain text and other hosts are refused", (*server).testGuard},
}

// sendWith sends a request with headers and returns the status of the answer. A
// later header replaces an earlier one of the same name.
func (s *server) sendWith(line, body string, header ...string) int {
	s.t.Helper()
	r := s.request(s.t.Context(), line, body)
	request.SetHeader(r, header...)
	a, err := request.Do(client, r)
	if err != nil {
		s.t.Fatal(err)
	}
	return a.Status
}

// changes are the requests that change something, with their bodies.
var changes = map[string]string{
	"POST /dedupe/put_if_absent":               `{"key":"guarded"}`,
	"POST /dedupe/forget":                      `{"key":"guarded"}`,
	"POST /sequence/next":                      `{"stream":"guarded","key":"k"}`,
	"POST /storage/put?object=guarded":         `{"key":"k","value":1}`,
	"DELETE /storage/delete?object=guarded":    "",
	"POST /alarm/set?object=guarded":           `{"scheduled_ms":4102444800000}`,
	"DELETE /alarm/delete?object=guarded":      "",
	"POST /sql/exec?binding=FLOW_SQL_DO":       `{"query":"CREATE TABLE guarded (a)"}`,
	"POST /wait_until?object=guarded":          `{"key":"k","value":1}`,
	"GET /ws?object=guarded":                   "",
	"GET /storage/list?object=guarded&guarded": "",
}

func pathOf(line string) string {
	_, path, _ := strings.Cut(line, " ")
	return path
}

func (s *server) testGuard() {
	own := s.URL
	for line, body := range changes {
		for _, bad := range []struct {
			header []string
			want   int
		}{
			{[]string{"Host", "harness.example.com"}, 401},
			{[]string{"Host", "localhost.example.com"}, 401},
			{[]string{"CF-Connecting-IP", "192.0.2.7"}, 401},
			{[]string{"Host", "harness.example.com", "Authorization", "Bearer x"}, 401},
			{[]string{"Host", "localhost", "MF-Original-URL", "http://harness.example.com" + pathOf(line)}, 401},
			{[]string{"Origin", "http://evil.example"}, 403},
			{[]string{"Origin", "null"}, 403},
			{[]string{"Origin", "http://127.0.0.1:1"}, 403},
			{[]string{"Sec-Fetch-Site", "cross-site"}, 403},
			{[]string{"Sec-Fetch-Site", "same-site"}, 403},
			{[]string{"Origin", own, "Sec-Fetch-Site", "cross-site"}, 403},
		} {
			if status := s.sendWith(line, body, bad.header...); status != bad.want {
				s.t.Errorf("%s with %q: %d, want %d", line, bad.header, status, bad.want)
			}
		}
		if !strings.HasPrefix(line, "POST") {
			continue
		}
		for _, kind := range []string{"text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""} {
			if status := s.sendWith(line, body, "Content-Type", kind); status != http.StatusUnsupportedMediaType {
				s.t.Errorf("%s as %q: %d", line, kind, status)
			}
		}
	}
	s.want("GET /storage/list?object=guarded", "", 200, `{"keys":[]}`)
	if status := s.sendWith("POST /storage/put?object=guarded", `{"key":"k","value":1}`, "Origin", own, "Sec-Fetch-Site", "same-origin"); status != 200 {
		s.t.Errorf("the Worker's own page is refused: %d", status)
	}
	for _, line := range []string{"GET /health", "GET /"} {
		if status := s.sendWith(line, "", "Host", "harness.example.com"); status != 200 {
			s.t.Errorf("%s from elsewhere: %d", line, status)
		}
	}
}

// If wrangler dev is reachable from the network, clients can forge everything
// they write. A client with the token is accepted.
func TestGuardOnTheNetwork(t *testing.T) {
	const token = "a token of the test"
	s := &server{dev.StartWith(t, []string{"--ip", "0.0.0.0"}, "../../examples/harness", "/health", "--var", "HARNESS_TOKEN:"+token), t, false}
	for line, body := range changes {
		for _, header := range [][]string{
			nil,
			{"Host", "localhost"},
			{"Host", "localhost", "CF-Connecting-IP", "127.0.0.1"},
			{"Host", "harness.example.com", "MF-Original-URL", "http://localhost" + pathOf(line)},
			{"Host", "harness.example.com", "MF-Original-URL", "http://localhost" + pathOf(line), "CF-Connecting-IP", "127.0.0.1"},
			{"Authorization", "Bearer " + token + "x"},
			{"Authorization", "Bearer "},
		} {
			if status := s.sendWith(line, body, header...); status != 401 {
				t.Errorf("%s with %q: %d", line, header, status)
			}
		}
	}
	if status := s.sendWith("GET /storage/list?object=guarded", "", "Host", "harness.example.com", "Authorization", "Bearer "+token); status != 200 {
		t.Errorf("with the token: %d", status)
	}
}
