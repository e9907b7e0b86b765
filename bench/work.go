//go:build !js

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/coder/websocket"
)

// work is one kind of request, and checks its answer.
type work struct {
	Name    string
	Title   string
	without []string // names of peers that do not support it
	// of requests in one measurement, if each takes long or creates an object;
	// 0 means no limit
	limit   int
	prepare func(*server) error
	// caller returns the function that one caller runs again and again. serial
	// is unique.
	caller func(ctx context.Context, s *server, caller int) (do func(serial int) error, done func(), err error)
}

// works are all kinds of work, in the order of the tables.
var works = []*work{
	{Name: "hello", Title: "hello world, without an object", caller: each((*server).hello)},
	{Name: "taken", Title: "claim of a key that is taken", prepare: (*server).takeKeys,
		caller: each((*server).taken)},
	{Name: "new", Title: "claim of a new key", limit: 160, caller: each((*server).newKey)},
	{Name: "complete", Title: "claim + complete, of a new key", limit: 160,
		caller: each((*server).claimComplete)},
	{Name: "sequence", Title: "next number of a stream", caller: each((*server).sequence)},
	{Name: "kv", Title: "put, get and list of ten", prepare: (*server).fillKV,
		caller: each((*server).kv)},
	{Name: "insert", Title: "SQL insert", caller: each((*server).insert)},
	{Name: "scan", Title: "SQL scan of 10,000 rows", limit: 64, prepare: (*server).seed,
		caller: each((*server).scan)},
	{Name: "alarm", Title: "alarm: set and delivered", caller: each((*server).alarm)},
	{Name: "echo", Title: "WebSocket echo", caller: echo},
	{Name: "idempotent", Title: "Idempotent middleware, a new key", limit: 160,
		without: []string{"simple", "handlefetch"}, caller: each((*server).charge)},
	{Name: "up", Title: "1 MB up", caller: each((*server).up)},
	{Name: "down", Title: "1 MB down", caller: each((*server).down)},
}

// ready prepares a server for the work.
func (w *work) ready(s *server) error {
	if w.prepare == nil {
		return nil
	}
	return w.prepare(s)
}

func (w *work) isFor(p *peer) bool {
	return !slices.Contains(w.without, p.Name) && (p.only == nil || slices.Contains(p.only, w.Name))
}

// limitFor returns a lower limit for the peer whose objects take megabytes
// each, but not less than the number of callers.
func (w *work) limitFor(p *peer, callers int) int {
	if p.Name == "simple" && w.limit > 0 {
		return max(w.limit/4, callers)
	}
	return w.limit
}

// each adapts a function whose callers need no state.
func each(
	do func(s *server, caller, serial int) error,
) func(context.Context, *server, int) (func(int) error, func(), error) {
	return func(_ context.Context, s *server, caller int) (func(int) error, func(), error) {
		return func(serial int) error { return do(s, caller, serial) }, func() {}, nil
	}
}

// answer is the answer to every POST.
type answer struct {
	Inserted *bool `json:"inserted"`
	Fence    int   `json:"fence"`
	N        *int  `json:"n"`
}

func (s *server) post(path, key, value string, header ...string) (a answer, err error) {
	body := fmt.Appendf(nil, `{"key":%q,"value":%q,"ttl_seconds":86400}`, key, value)
	b, err := s.send("POST", path, body, append(header, "Content-Type", "application/json")...)
	if err != nil {
		return a, err
	}
	err = json.Unmarshal(b, &a)
	return a, err
}

// expect sends a POST and expects a number as the answer.
func (s *server) expect(n int, path, key, value string, header ...string) error {
	a, err := s.post(path, key, value, header...)
	if err == nil && (a.N == nil || *a.N != n) {
		err = fmt.Errorf("%s of %s: the answer is not %d", path, key, n)
	}
	return err
}

func (s *server) hello(_, _ int) error {
	b, err := s.send("GET", "/hello", nil)
	if err == nil && string(b) != "hello" {
		err = fmt.Errorf("hello: %.100q", b)
	}
	return err
}

const takenKeys = 32

func (s *server) put(key string, want bool) error {
	a, err := s.post("/put_if_absent", key, "")
	if err == nil && (a.Inserted == nil || *a.Inserted != want) {
		err = fmt.Errorf("put_if_absent of %s: inserted is not %v", key, want)
	}
	return err
}

func (s *server) takeKeys() error {
	for i := range takenKeys {
		if err := s.put("taken-"+strconv.Itoa(i), true); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) taken(_, serial int) error {
	return s.put("taken-"+strconv.Itoa(serial%takenKeys), false)
}

func (s *server) newKey(_, serial int) error { return s.put("new-"+strconv.Itoa(serial), true) }

func (s *server) claimComplete(_, serial int) error {
	a, err := s.post("/claim_complete", "complete-"+strconv.Itoa(serial), "")
	if err == nil && a.Fence < 1 {
		err = fmt.Errorf("claim_complete: the fence is %d", a.Fence)
	}
	return err
}

// sequence expects the next number. It is known, because each caller has a
// separate stream.
func (s *server) sequence(caller, serial int) error {
	s.last[caller]++
	return s.expect(s.last[caller], "/sequence", "key-"+strconv.Itoa(serial),
		"stream-"+strconv.Itoa(caller))
}

const things = 16

func (s *server) fillKV() error {
	for i := range things {
		for j := range 10 {
			if err := s.expect(j+1, "/kv", "kv-"+strconv.Itoa(i), strconv.Itoa(j)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *server) kv(caller, serial int) error {
	return s.expect(10, "/kv", "kv-"+strconv.Itoa(caller%things), strconv.Itoa(serial%20))
}

func (s *server) insert(caller, serial int) error {
	return s.expect(serial, "/insert", "sql-"+strconv.Itoa(caller%things), strconv.Itoa(serial))
}

const sum = 10_000 * 10_001 / 2

func (s *server) seed() error         { return s.expect(sum, "/scan", "scan", "seed") }
func (s *server) scan(_, _ int) error { return s.expect(sum, "/scan", "scan", "") }

func (s *server) alarm(caller, _ int) error {
	return s.expect(1, "/ring", "alarm-"+strconv.Itoa(caller), "")
}

func (s *server) charge(_, serial int) error {
	return s.expect(1, "/charge", "", "", "Idempotency-Key", "charge-"+strconv.Itoa(serial))
}

var megabyte = bytes.Repeat([]byte("0123456789abcdef"), 1<<16)

func (s *server) up(_, _ int) error {
	b, err := s.send("POST", "/up", megabyte)
	if err != nil {
		return err
	}
	var a answer
	if err := json.Unmarshal(b, &a); err != nil {
		return err
	}
	if a.N == nil || *a.N != len(megabyte) {
		return fmt.Errorf("up: %.100s", b)
	}
	return nil
}

func (s *server) down(_, _ int) error {
	b, err := s.send("GET", "/down", nil)
	if err == nil && !bytes.Equal(b, megabyte) {
		err = fmt.Errorf("down: %d bytes, or other bytes than expected", len(b))
	}
	return err
}

// echo gives each caller a WebSocket.
func echo(ctx context.Context, s *server, _ int) (func(int) error, func(), error) {
	conn, _, err := websocket.Dial(ctx, "ws"+s.URL[len("http"):]+"/ws", nil)
	if err != nil {
		return nil, nil, err
	}
	do := func(serial int) error {
		message := fmt.Appendf(nil, "message %056d", serial)
		if err := conn.Write(ctx, websocket.MessageText, message); err != nil {
			return err
		}
		_, got, err := conn.Read(ctx)
		if err == nil && !bytes.Equal(got, message) {
			err = fmt.Errorf("echo: %.100q", got)
		}
		return err
	}
	return do, func() { conn.CloseNow() }, nil
}
