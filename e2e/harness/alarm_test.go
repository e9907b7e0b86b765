//go:build !js

package harness

import (
	"fmt"
	"time"
)

var alarmTests = []test{
	{"alarm: set, get, delete", (*server).testAlarm},
	{"alarm: delivered and logged", (*server).testDelivery},
	{"alarm: one that fails is delivered again", (*server).testRetry},
	{"alarm: it shares the slot with values that expire", (*server).testSharedAlarm},
	{"alarm: bad input is 400 and names the field", (*server).testBadAlarm},
}

type delivery struct {
	ScheduledMS int64 `json:"scheduled_ms"`
	DeliveredMS int64 `json:"delivered_ms"`
	RetryCount  int   `json:"retry_count"`
	Failed      bool  `json:"failed"`
}

func (s *server) deliveries(object string) []delivery {
	s.t.Helper()
	var log struct{ Deliveries []delivery }
	s.decode(&log, "GET /alarm/log"+object, "")
	return log.Deliveries
}

// waitForDeliveries returns the log once it has n entries.
func (s *server) waitForDeliveries(object string, n int) []delivery {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if log := s.deliveries(object); len(log) >= n {
			return log
		} else if time.Now().After(end) {
			s.t.Fatalf("after 20 s the log has %+v", log)
		}
	}
}

func (s *server) setAlarm(object string, in time.Duration, rest string) (at int64) {
	s.t.Helper()
	at = time.Now().Add(in).UnixMilli()
	s.want("POST /alarm/set"+object, fmt.Sprintf(`{"scheduled_ms":%d%s}`, at, rest), 200, `{"success":true}`)
	return at
}

func (s *server) testAlarm() {
	const object = "?object=alarm"
	s.want("GET /alarm/get"+object, "", 200, `{"alarm_ms":null}`)
	s.want("DELETE /alarm/delete"+object, "", 200, `{"success":true}`)
	s.setAlarm(object, time.Hour, "")
	at := s.setAlarm(object, 2*time.Hour, "") // replaces the first
	s.want("GET /alarm/get"+object, "", 200, fmt.Sprintf(`{"alarm_ms":%d}`, at))
	s.want("DELETE /alarm/delete"+object, "", 200, `{"success":true}`)
	s.want("GET /alarm/get"+object, "", 200, `{"alarm_ms":null}`)
	s.want("GET /alarm/log"+object, "", 200, `{"deliveries":[]}`)
}

func (s *server) testDelivery() {
	const object = "?object=delivery"
	at := s.setAlarm(object, 500*time.Millisecond, "")
	log := s.waitForDeliveries(object, 1)
	if d := log[0]; d.ScheduledMS != at || d.DeliveredMS < at || d.RetryCount != 0 || d.Failed {
		s.t.Errorf("the alarm for %d: %+v", at, d)
	}
	s.want("GET /alarm/get"+object, "", 200, `{"alarm_ms":null}`)
	past := s.setAlarm(object, -time.Hour, "") // due at once
	if log := s.waitForDeliveries(object, 2); log[1].ScheduledMS != past {
		s.t.Errorf("the alarm for %d: %+v", past, log)
	}
}

func (s *server) testRetry() {
	const object = "?object=retry"
	at := s.setAlarm(object, 0, `,"failures":1`)
	first := s.waitForDeliveries(object, 1)[0]
	s.want("GET /alarm/get"+object, "", 200, fmt.Sprintf(`{"alarm_ms":%d}`, at)) // still pending
	log := s.waitForDeliveries(object, 2)
	second := log[1]
	if !first.Failed || first.RetryCount != 0 || second.Failed || second.RetryCount != 1 || second.ScheduledMS != at || second.DeliveredMS < first.DeliveredMS+2000 {
		s.t.Errorf("%+v", log)
	}
	s.want("GET /alarm/get"+object, "", 200, `{"alarm_ms":null}`)
}

// A value that expires does not move the alarm, whether it expires earlier or
// later. The alarm does not move an expiry.
func (s *server) testSharedAlarm() {
	const object = "?object=shared"
	put := func(key, ttl string) {
		s.t.Helper()
		s.want("POST /storage/put"+object, `{"key":"`+key+`","value":1,"ttl_seconds":`+ttl+`}`, 200, `{"success":true}`)
	}
	put("before", "3600")
	at := s.setAlarm(object, time.Second, "")
	put("short", "0.3")
	put("long", "3600")
	s.want("GET /alarm/get"+object, "", 200, fmt.Sprintf(`{"alarm_ms":%d}`, at))
	log := s.waitForDeliveries(object, 1)
	if len(log) != 1 || log[0].ScheduledMS != at || log[0].DeliveredMS < at {
		s.t.Errorf("the alarm for %d: %+v", at, log)
	}
	s.want("GET /storage/list"+object, "", 200, `{"keys":["before","long"]}`)

	// Deleting the alarm keeps the expiries.
	s.setAlarm(object, time.Hour, "")
	put("gone", "0.3")
	s.want("DELETE /alarm/delete"+object, "", 200, `{"success":true}`)
	time.Sleep(500 * time.Millisecond)
	s.want("GET /storage/list"+object, "", 200, `{"keys":["before","long"]}`)
}

func (s *server) testBadAlarm() {
	for body, field := range map[string]string{
		`{}`:                              "scheduled_ms",
		`{"scheduled_ms":null}`:           "scheduled_ms",
		`{"scheduled_ms":"now"}`:          "scheduled_ms",
		`{"scheduled_ms":1.5}`:            "scheduled_ms",
		`{"scheduled_ms":0}`:              "scheduled_ms",
		`{"scheduled_ms":-1}`:             "scheduled_ms",
		`{"scheduled_ms":9223372036855}`:  "scheduled_ms", // 2262
		`{"scheduled_ms":1,"failures":8}`: "failures",
		`{"scheduled_ms":1,"fail":1}`:     "fail",
	} {
		s.wantError("POST /alarm/set?object=bad", body, 400, "invalid_input", field)
	}
	s.want("GET /alarm/get?object=bad", "", 200, `{"alarm_ms":null}`)
	s.wantError("GET /alarm/get?binding=NOPE", "", 500, "no_binding", "")
}
