//go:build !js

package harness

import (
	"bytes"
	"encoding/json"
	"html"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/coder/websocket"
)

var otherTests = []test{
	{"ws: messages come back, also after the object slept", (*server).testWebSocket},
	{"ws: a request without an upgrade is 426", func(s *server) { s.wantError("GET /ws", "", 426, "no_upgrade", "") }},
	{"wait_until: the answer comes first, the work is seen afterwards", (*server).testWaitUntil},
	{"the page lists every route, and its curl lines work", (*server).testPage},
	{"an unknown path is 404, an unknown method 405", (*server).testNoRoute},
}

func (s *server) testWebSocket() {
	ctx := s.t.Context()
	c, _, err := websocket.Dial(ctx, s.URL+"/ws?object=ws", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.CloseNow()
	instance := func() string {
		s.t.Helper()
		var answer map[string]struct{ Instance string }
		s.decode(&answer, "GET /stub/fetch?name=ws", "")
		return answer["by_name"].Instance
	}
	echo := func(kind websocket.MessageType, text string) {
		s.t.Helper()
		if err := c.Write(ctx, kind, []byte(text)); err != nil {
			s.t.Fatal(err)
		}
		got, b, err := c.Read(ctx)
		if err != nil || got != kind || string(b) != text {
			s.t.Fatalf("%v %q %v, want %v %q", got, b, err, kind, text)
		}
	}
	before := instance()
	echo(websocket.MessageText, "hello")
	echo(websocket.MessageBinary, "\x00\xff")
	if !s.isKV { // one config is enough: wrangler dev evicts after 10 s without a request
		time.Sleep(12 * time.Second)
		echo(websocket.MessageText, "good morning")
		if instance() == before {
			s.t.Error("the object was not evicted, so this proves nothing")
		}
	}
	if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
		s.t.Error(err)
	}
}

func (s *server) testWaitUntil() {
	const object = "?object=later"
	began := time.Now()
	s.want("POST /wait_until"+object, `{"key":"a","value":"done","delay_ms":1500}`, 202, `{"success":true}`)
	if time.Since(began) < 1200*time.Millisecond {
		s.want("GET /storage/get"+object+"&key=a", "", 200, `{"found":false,"value":null}`)
	} else {
		s.t.Error("the answer waited for the work")
	}
	for end := began.Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, text, _ := s.send(s.t.Context(), "GET /storage/get"+object+"&key=a", ""); text == `{"found":true,"value":"done"}` {
			break
		} else if time.Now().After(end) {
			s.t.Fatalf("after 20 s: %s", text)
		}
	}
	if took := time.Since(began); took < 1400*time.Millisecond {
		s.t.Errorf("the work was done after %v", took)
	}
	s.wantError("POST /wait_until", `{"key":"a","value":1,"delay_ms":10001}`, 400, "invalid_input", "delay_ms")
	s.wantError("POST /wait_until", `{"key":"a"}`, 400, "invalid_input", "value")
	s.wantError("POST /wait_until", `{"value":1}`, 400, "invalid_input", "key")
}

// paths are the paths that the ticket requires, and the others.
var paths = []string{
	"POST /dedupe/put_if_absent", "POST /dedupe/forget", "POST /sequence/next",
	"POST /storage/put", "GET /storage/get", "GET /storage/list", "DELETE /storage/delete",
	"POST /alarm/set", "GET /alarm/get", "GET /alarm/log", "DELETE /alarm/delete", "POST /sql/exec",
	"GET /id/from_name", "GET /id/from_string", "GET /id/unique", "GET /stub/fetch", "GET /ws", "POST /wait_until", "GET /health",
}

func (s *server) testPage() {
	status, page, err := s.send(s.t.Context(), "GET /", "")
	if err != nil || status != 200 {
		s.t.Fatalf("%d %v", status, err)
	}
	found := regexp.MustCompile(`<code>(\w+ /\S*)</code></dt>\n<dd>.*?<pre>(.*?)</pre>`).FindAllStringSubmatch(page, -1)
	var listed []string
	for _, m := range found {
		listed = append(listed, html.UnescapeString(m[1]))
		s.curl(html.UnescapeString(m[2]))
	}
	if strings.Join(listed, "\n") != strings.Join(paths, "\n") {
		s.t.Errorf("the page has\n%s", strings.Join(listed, "\n"))
	}
}

// curl runs a curl command of the page. It must succeed.
func (s *server) curl(line string) {
	s.t.Helper()
	cmd := exec.Command("bash", "-c", "ID=$(printf %s \"$1\"); "+line+" -w '\\n%{http_code}'", "bash", s.id("GET /id/unique").ID)
	out, _ := cmd.Output() // the command for a WebSocket ends by its time limit
	i := bytes.LastIndexByte(out, '\n')
	if status := string(out[i+1:]); status != "200" && status != "202" && status != "101" {
		s.t.Errorf("%s\n%s", line, out)
	}
}

func (s *server) testNoRoute() {
	s.wantError("GET /nothing", "", 404, "no_route", "")
	s.wantError("POST /storage", "{}", 404, "no_route", "")
	for _, path := range paths {
		method, path, _ := strings.Cut(path, " ")
		r := s.request(s.t.Context(), "PUT "+path, "")
		resp, err := client.Do(r)
		if err != nil {
			s.t.Fatal(err)
		}
		var f struct{ Code string }
		json.NewDecoder(resp.Body).Decode(&f)
		resp.Body.Close()
		if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != method || f.Code != "method_not_allowed" {
			s.t.Errorf("PUT %s: %d, Allow: %s, %+v", path, resp.StatusCode, resp.Header.Get("Allow"), f)
		}
	}
}
