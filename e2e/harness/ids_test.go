//go:build !js

package harness

import (
	"strings"
)

var idTests = []test{
	{"ids: from a name, from a string, unique", (*server).testIDs},
	{"ids: those of the other class are refused", (*server).testForeignIDs},
	{"ids: a jurisdiction", (*server).testJurisdiction},
	{"ids: bad input is 400, a missing binding 500", (*server).testBadIDs},
	{"stub: fetch by name and by id reach the same object", (*server).testStub},
}

type id struct {
	ID           string
	Name         *string
	Jurisdiction *string
}

func (s *server) id(line string) (v id) {
	s.t.Helper()
	s.decode(&v, line, "")
	if len(v.ID) != 64 || strings.Trim(v.ID, "0123456789abcdef") != "" || v.Jurisdiction != nil {
		s.t.Errorf("%s: %+v", line, v)
	}
	return v
}

func (s *server) testIDs() {
	a := s.id("GET /id/from_name?name=a")
	if again := s.id("GET /id/from_name?name=a"); again.ID != a.ID || a.Name == nil || *a.Name != "a" {
		s.t.Errorf("%+v, then %+v", a, again)
	}
	if b := s.id("GET /id/from_name?name=b"); b.ID == a.ID {
		s.t.Error("two names have the same id")
	}
	if parsed := s.id("GET /id/from_string?id=" + a.ID); parsed.ID != a.ID {
		s.t.Errorf("%+v", parsed)
	}
	one, two := s.id("GET /id/unique"), s.id("GET /id/unique")
	if one.ID == two.ID || one.Name != nil {
		s.t.Errorf("%+v, then %+v", one, two)
	}
	if parsed := s.id("GET /id/from_string?id=" + one.ID); parsed.ID != one.ID || parsed.Name != nil {
		s.t.Errorf("%+v", parsed)
	}
}

func (s *server) testForeignIDs() {
	for own, other := range map[string]string{"FLOW_DO": "FLOW_SQL_DO", "FLOW_SQL_DO": "FLOW_DO"} {
		for _, line := range []string{"GET /id/from_name?name=a&binding=", "GET /id/unique?binding="} {
			v := s.id(line + own)
			s.id("GET /id/from_string?id=" + v.ID + "&binding=" + own)
			if name := s.wantError("GET /id/from_string?id="+v.ID+"&binding="+other, "", 400, "invalid_id", ""); name != "ErrInvalidID" {
				s.t.Errorf("the error is named %q", name)
			}
		}
	}
}

// Local workerd has no jurisdictions, and returns an error that says so.
func (s *server) testJurisdiction() {
	if name := s.wantError("GET /id/unique?jurisdiction=eu", "", 501, "no_jurisdiction", ""); name != "ErrJurisdiction" {
		s.t.Errorf("the error is named %q", name)
	}
	s.wantError("GET /id/unique?jurisdiction=mars", "", 400, "invalid_input", "jurisdiction")
}

func (s *server) testBadIDs() {
	s.wantError("GET /id/from_name", "", 400, "invalid_input", "name")
	s.wantError("GET /id/from_string", "", 400, "invalid_input", "id")
	s.wantError("GET /id/from_string?id=abc", "", 400, "invalid_id", "")
	s.wantError("GET /stub/fetch", "", 400, "invalid_input", "name")
	s.wantError("GET /stub/fetch?name=capdo.dedupe.v1:a:b", "", 400, "invalid_input", "name")
	for _, line := range []string{"GET /id/from_name?name=a", "GET /id/from_string?id=abc", "GET /id/unique?", "GET /stub/fetch?name=a"} {
		_, text, _ := s.send(s.t.Context(), line+"&binding=NOPE", "")
		if name := s.wantError(line+"&binding=NOPE", "", 500, "no_binding", ""); name != "ErrNoBinding" || !strings.Contains(text, `no such Durable Object binding: \"NOPE\"`) || !strings.Contains(text, "FLOW_DO") {
			s.t.Errorf("%s: %s", line, text)
		}
	}
}

func (s *server) testStub() {
	type hello struct{ ID, Name, Instance string }
	var answer struct {
		ByName hello `json:"by_name"`
		ByID   hello `json:"by_id"`
	}
	s.decode(&answer, "GET /stub/fetch?name=stub", "")
	want := s.id("GET /id/from_name?name=stub").ID
	if answer.ByName != answer.ByID || answer.ByName.ID != want || answer.ByName.Name != "stub" || answer.ByName.Instance == "" {
		s.t.Errorf("%+v, want id %s", answer, want)
	}
}
