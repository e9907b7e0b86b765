//go:build !js

package runtime

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/internal/workerd"
)

// startEvents serves the Worker with a queue, and a binding through which
// workerd delivers events to it.
func startEvents(t *testing.T, c workerd.Config) *lab {
	t.Helper()
	c.Flags = append(c.Flags, "service_binding_extra_handlers")
	c.Entrypoints = map[string]string{"SELF": "Events"}
	c.Queues = map[string]string{"JOBS": "Broker"}
	c.Vars = map[string]string{"COLOUR": "blue"}
	return startWith(t, c)
}

// shorterEvents returns modules in which cron triggers and batches have less
// than 15 minutes: 22 s of the last 30 s are over when they begin.
func shorterEvents(t *testing.T) map[string]string {
	t.Helper()
	return changed(t, "shim.mjs", "const EVENT_MS = 900_000;", "const EVENT_MS = 8_000;")
}

// escaped returns a path whose parameter is a query of its own.
func escaped(path, query string) string { return path + url.QueryEscape(query) }

func TestCronTriggers(t *testing.T) {
	t.Parallel()
	l := startEvents(t, workerd.Config{})
	for _, c := range []struct{ cron, result string }{
		{"m=ping", `{"outcome":"ok","noRetry":false}`},
		{"m=sleep&n=20", `{"outcome":"ok","noRetry":false}`}, // it waits
		{"m=ping&noretry=1", `{"outcome":"ok","noRetry":true}`},
		{"m=fails", `{"outcome":"exception","noRetry":false}`},
		{"m=fails&noretry=1", `{"outcome":"exception","noRetry":true}`},
		{"m=panic", `{"outcome":"exception","noRetry":false}`},
		{"m=deadlock", `{"outcome":"exception","noRetry":false}`},
		{"m=exit", `{"outcome":"exception","noRetry":false}`}, // a new program serves the next one
		{"m=waituntil&n=300&to=cron", `{"outcome":"ok","noRetry":false}`},
	} {
		l.want(escaped("/scheduled?n=1700000000123&cron=", c.cron), c.result)
	}
	l.want("/?o=cron&m=get&k=k", "later") // the event lasts as long as its work
	l.want("/?m=seen", "m=waituntil&n=300&to=cron at 2023-11-14T22:13:20.123Z")
	l.wantLog("panic: boom")
	l.wantLog("exited with code 3")
}

// The result is what workerd tells the queue's service.
func TestMessagesAreAcknowledgedOrRetried(t *testing.T) {
	t.Parallel()
	l := startEvents(t, workerd.Config{})
	result := func(outcome string, ackAll, retryAll bool, retries, acks string) string {
		all := map[bool]string{true: "true", false: "false"}
		batch := `{"retry":` + all[retryAll] + `}`
		return `{"outcome":"` + outcome + `","ackAll":` + all[ackAll] + `,"retryBatch":` + batch +
			`,"explicitAcks":[` + acks + `],"retryMessages":[` + retries + `]}`
	}
	for _, c := range []struct{ name, queue, want string }{
		{"nil acknowledges all", "", result("ok", false, false, "", "")},
		{"after a wait as well", "m=sleep&n=20", result("ok", false, false, "", "")},
		{"a retry is made although the handler returns nil", "do=ack&do=retry", result("ok", false, false, `{"msgId":"id1"}`, `"id0"`)},
		{"an error retries all", "m=fails", result("exception", false, false, "", "")},
		{"an ack outlives an error", "do=ack&m=fails", result("exception", false, false, "", `"id0"`)},
		{"a panic is an error", "do=ack&m=panic", result("exception", false, false, "", `"id0"`)},
		{"so is the end of the program", "do=ack&m=exit", result("exception", false, false, "", `"id0"`)},
		{"a delay is rounded up", "do=delay", result("ok", false, false, `{"msgId":"id0","delaySeconds":2}`, "")},
		{"a delay of 0 is said", "do=atonce", result("ok", false, false, `{"msgId":"id0","delaySeconds":0}`, "")},
		{"a delay over a day has no effect", "do=toolate", result("ok", false, false, "", "")},
		{"the first call counts: ack", "do=ack,retry", result("ok", false, false, "", `"id0"`)},
		{"the first call counts: retry", "do=retry,ack", result("ok", false, false, `{"msgId":"id0"}`, "")},
		{"all are acknowledged, whatever the handler returns", "all=ack&m=fails", result("exception", true, false, "", "")},
		{"all are retried", "all=retry", result("ok", false, true, "", "")},
		{"all are retried with a delay", "all=delay", strings.Replace(result("ok", false, true, "", ""), `"retry":true`, `"retry":true,"delaySeconds":1`, 1)},
		{"one of them is acknowledged", "do=ack&all=retry", result("ok", false, true, "", `"id0"`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			(&lab{l.Server, t}).want(escaped("/queue?body=number&body=text&queue=", c.queue), c.want)
		})
	}
	l.want("/?m=seen", "delay of a message, in seconds: 90000 exceeds the maximum of 86400")
	l.wantLog("exited with code 3")
}

func TestBodiesOfMessages(t *testing.T) {
	t.Parallel()
	l := startEvents(t, workerd.Config{})
	for _, c := range []struct{ body, any, int64, pointer string }{
		{"number", "float64 42 <nil>", "42 <nil> false", "true <nil>"},
		{"null", "<nil> <nil> <nil>", "0 durable: null does not fit Go's int64 unchanged (body) true", "false <nil>"},
		{"undefined", "<nil> <nil> durable: the message's body is undefined (body)", "0 durable: the message's body is undefined (body) true", "false durable: the message's body is undefined (body)"},
		{"text", "string text <nil>", "0 durable: a string does not fit Go's int64 unchanged (body) true", "false durable: a string does not fit Go's int64 unchanged (body)"},
		{"object", "map[string]interface {} map[list:[true <nil> x] n:1] <nil>", "0 durable: an object does not fit Go's int64 unchanged (body) true", "false durable: an object does not fit Go's int64 unchanged (body)"},
		{"bytes", "[]uint8 [1 2] <nil>", "0 durable: a Uint8Array does not fit Go's int64 unchanged (body) true", "false durable: a Uint8Array does not fit Go's int64 unchanged (body)"},
		{"big", "int64 1152921504606846976 <nil>", "1152921504606846976 <nil> false", "true <nil>"},
		{"map", "<nil> <nil> durable: a JavaScript Map has no equivalent in Go (body)", "0 durable: a JavaScript Map has no equivalent in Go (body) true", "false durable: a JavaScript Map has no equivalent in Go (body)"},
		{"surrogate", "<nil> <nil> a string with a lone surrogate cannot be a Go string", "0 a string with a lone surrogate cannot be a Go string true", "false a string with a lone surrogate cannot be a Go string"},
	} {
		t.Run(c.body, func(t *testing.T) {
			l := &lab{l.Server, t}
			if a := l.get("/queue?queue=read&body=number&body=" + c.body); !strings.HasPrefix(a.body, `{"outcome":"ok"`) {
				t.Error(a)
			}
			l.want("/?m=seen", "id0 1700000000000 1: float64 42 <nil>\nint64: 42 <nil> false\n*int64: true <nil>\n"+
				"id1 1700000000001 2: "+c.any+"\nint64: "+c.int64+"\n*int64: "+c.pointer)
		})
	}
}

func TestBatchBelongsToItsEvent(t *testing.T) {
	t.Parallel()
	l := startEvents(t, workerd.Config{})
	l.get("/queue?queue=" + url.QueryEscape("all=metrics&m=keeps") + "&body=text")
	l.want("/?m=seen", "7 80 1700000000000")
	closed := "I/O context is closed: its invocation has ended"
	l.want("/?m=afterwards", closed+" "+closed+" "+closed+"\n")
}

func TestEventsEndBeforeTheirTimeIsUp(t *testing.T) {
	t.Parallel()
	l := startEvents(t, workerd.Config{Modules: shorterEvents(t)})
	want := func(l *lab, outcome string, a answer) {
		t.Helper()
		seen := l.get("/?m=seen").body
		if !strings.HasPrefix(a.body, `{"outcome":"`+outcome+`"`) || !strings.Contains(seen, "the time is up") ||
			!strings.Contains(seen, "ended after 2 s") && !strings.Contains(seen, "ended after 3 s") {
			t.Errorf("%s, seen: %q", a.body, seen)
		}
	}
	want(l, "ok", l.get(escaped("/scheduled?n=0&cron=", "m=late")))
	want(l, "exception", l.get(escaped("/queue?body=text&queue=", "m=late&hold=1")))
}

// With this flag a batch is over when its handler returns. What goes on then has
// the time that it has after a response.
func TestQueueThatDoesNotWaitForTasks(t *testing.T) {
	t.Parallel()
	l := startEvents(t, workerd.Config{Modules: shorterEvents(t), Flags: []string{"queue_consumer_no_wait_for_wait_until"}})
	a := l.get(escaped("/queue?body=text&queue=", "m=late"))
	if !strings.HasPrefix(a.body, `{"outcome":"ok"`) || a.took > 2*time.Second {
		t.Errorf("%s after %v", a.body, a.took)
	}
	time.Sleep(4 * time.Second) // beyond the shorter time
	l.want("/?m=seen", "")
	l.want(escaped("/scheduled?n=0&cron=", "m=ping"), `{"outcome":"ok","noRetry":false}`)
}

func TestQueueSends(t *testing.T) {
	t.Parallel()
	l := startEvents(t, workerd.Config{})
	for _, c := range []struct{ what, format, delay, body string }{
		{"json", `"json"`, "null", `{\"s\":\"é\\n\"}`},
		{"text", `"text"`, "null", "text"},
		{"bytes", `"bytes"`, "null", "bytes"},
		{"delay", `"json"`, `"90"`, "null"},
		{"now", `"json"`, `"0"`, "null"},
	} {
		l.want("/?m=send&what="+c.what, "<nil>")
		l.want("/sent", `[{"path":"/message","format":`+c.format+`,"delay":`+c.delay+`,"body":"`+c.body+`"}]`)
	}
	l.want("/?m=send&what=v8", "<nil>")
	if a := l.get("/sent"); !strings.Contains(a.body, `"format":"v8"`) || !strings.Contains(a.body, "v8") {
		t.Error(a)
	}
	l.want("/?m=send&what=large", "<nil>")
	if a := l.get("/sent"); len(a.body) < 128_000 {
		t.Error(a)
	}
	l.want("/?o=object&m=send&what=text", "<nil>")
	l.want("/?m=metrics", "2 30 1700000000000")
	l.get("/sent")
	for what, want := range map[string]string{
		"jsonDate": "durable: JSON would change a Date; hint: convert it to text, or use the content type QueueV8 (body, at [key][0]) [the value cannot be converted unchanged]",
		"notText":  "durable: the content type text needs a string, not a number (body) [the value cannot be converted unchanged]",
		"notBytes": "durable: the content type bytes needs a []byte, not a string (body) [the value cannot be converted unchanged]",
		"unknown":  `durable: unknown content type "xml"; hint: use QueueJSON, QueueText, QueueBytes or QueueV8 (body) [the value cannot be converted unchanged]`,
		"tooLarge": "size of a message, in bytes: 128001 exceeds the maximum of 128000 [limit exceeded]",
		"past":     "delay of a message, in seconds: -1 is less than the minimum of 0 [limit exceeded]",
	} {
		if got := l.get("/?m=send&what=" + what).body; got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	l.want("/sent", "[]") // what is refused is not sent
	l.want("/?m=send&what=refused", "Queue is overloaded (10250) [the Durable Object is overloaded]")
	old := startEvents(t, workerd.Config{Date: "2025-01-01"})
	old.want("/?m=send&what=refused", "Queue send failed: Too Many Requests [the Durable Object is overloaded]")
	old.want("/?m=send&what=json", "<nil>")
	if a := old.get("/sent"); !strings.Contains(a.body, `"format":"json"`) {
		t.Error(a)
	}
}

func TestQueueSendsBatches(t *testing.T) {
	t.Parallel()
	l := startEvents(t, workerd.Config{})
	l.want("/?m=sendbatch&n=1&mixed=v8&delay=5000", "<nil>")
	a := l.get("/sent")
	for _, want := range []string{`"path":"/batch"`, `"delay":"5"`, `{\"body\":\"MA==\",\"contentType\":\"text\"}`,
		`{\"body\":\"WzFd\",\"contentType\":\"json\",\"delaySecs\": 60}`, `\"contentType\":\"v8\"`} {
		if !strings.Contains(a.body, want) {
			t.Errorf("%s lacks %s", a.body, want)
		}
	}
	l.want("/?m=sendbatch&n=100&size=2559", "<nil>")
	l.get("/sent")
	for query, want := range map[string]string{
		"n=0":               "messages in a batch: 0 is less than the minimum of 1 [limit exceeded]",
		"n=101":             "messages in a batch: 101 exceeds the maximum of 100 [limit exceeded]",
		"n=100&size=2560":   "size of a batch of messages, in bytes: 256100 exceeds the maximum of 256000 [limit exceeded]",
		"n=1&size=128000":   "size of a message, in bytes: 128001 exceeds the maximum of 128000 [limit exceeded]",
		"n=1&mixed=json":    "durable: JSON would change a Date",
		"n=1&delay=9999999": "<nil>",
	} {
		if got := l.get("/?m=sendbatch&" + query).body; !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	l.get("/sent")
	l.want("/?m=sendbatch&n=1&delay=86400001", "delay of a message, in seconds: 86401 exceeds the maximum of 86400 [limit exceeded]")
	l.want("/sent", "[]")
}

func TestQueueBindingThatIsNone(t *testing.T) {
	t.Parallel()
	l := startEvents(t, workerd.Config{})
	for name, why := range map[string]string{"NOPE": "there is none of that name", "LAB": "it is a JavaScript DurableObjectNamespace",
		"COLOUR": "it is a string", "SELF": "it is a JavaScript Fetcher", "toString": "it is a function"} {
		want := `true durable: no such queue binding: "` + name + `": ` + why + " (bindings of this Worker: COLOUR, DEDUPE, JOBS, LAB, LEDGER, SELF)" +
			"\nhint: add to queues.producers of the wrangler config: binding \"" + name + `", and the name of the queue`
		for _, object := range []string{"", "o=a&"} {
			l.want("/?"+object+"m=binding&name="+name, want)
		}
	}
	l.want("/?m=binding&name=JOBS", "false <nil>")
}
