//go:build !js

package websocket

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"github.com/coder/websocket"
)

// memory returns the resident memory of workerd and the size of wasm memory, in
// MiB.
func (l *lab) memory() (resident, wasm int) {
	l.t.Helper()
	for range 3 {
		l.get("/collect")
	}
	var s struct{ Memory int }
	if err := json.Unmarshal([]byte(l.get("/stats")), &s); err != nil {
		l.t.Fatal(err)
	}
	return l.Resident() >> 20, s.Memory >> 20
}

// send sends n messages while the Worker accepts them, for a few seconds at
// most.
func send(ctx context.Context, c *websocket.Conn, n, size int) {
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	for range n {
		if c.Write(ctx, websocket.MessageBinary, make([]byte, size)) != nil {
			return
		}
	}
}

// 20 of 150 connections are not read, and get as many messages as they take.
// The memory for them must be bounded, and the other connections must be
// served.
func TestConnectionsThatNobodyReads(t *testing.T) {
	for name, c := range map[string]struct {
		path    string
		n, size int
		closed  int // minimum of closed connections: the others fit into the limit
	}{
		"a Conn, large messages":     {"/unread", 64, 512 << 10, 18},
		"a Conn, small messages":     {"/unread", 40_000, 1, 10},
		"an object's stuck handlers": {"/stuck?o=a", 64, 512 << 10, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l := start(t, "")
			var others []*websocket.Conn
			for range 130 {
				others = append(others, l.dial("/conn"))
			}
			before, _ := l.memory()
			var wg sync.WaitGroup
			for range 20 {
				conn := l.dial(c.path)
				wg.Go(func() { send(t.Context(), conn, c.n, c.size) })
			}
			wg.Wait()
			resident, wasm := l.memory()
			for range 40 { // what is freed is returned later
				if resident-before <= mostGrown {
					break
				}
				time.Sleep(250 * time.Millisecond)
				resident, wasm = l.memory()
			}
			t.Logf("workerd's memory %d MiB, then %d; wasm %d MiB", before, resident, wasm)
			if grown := resident - before; c.size > 1 && grown > mostGrown || wasm > 96 { // malloc keeps the memory of dropped small messages
				t.Errorf("memory grew by %d MiB, and wasm memory to %d MiB", grown, wasm)
			}
			for i, o := range others {
				if got, err := ask(t.Context(), o, fmt.Sprint("hello ", i)); err != nil || got != fmt.Sprint("hello ", i) {
					t.Fatalf("another connection: %q, %v", got, err)
				}
			}
			l.get("/release")
			for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
				if n := strings.Count(l.get("/events"), "unread: "+durable.ErrBacklog.Error()); n >= c.closed {
					break
				} else if time.Now().After(end) {
					t.Fatalf("%d connections were closed for reading too slowly", n)
				}
			}
		})
	}
}

// mostGrown is the allowed growth of workerd's memory, in MiB. (Without limits
// it is 600 to 1,100.) Memory that was freed but not returned counts too.
const mostGrown = 200

// If a client does not read, the Worker gets an error and may continue.
func TestClientsThatDoNotRead(t *testing.T) {
	l := start(t, "")
	before, _ := l.memory()
	for range 20 {
		l.dial("/flood?n=64&size=524288")
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		events := l.get("/events")
		if strings.Count(events, "flood: "+durable.ErrBacklog.Error()) == 20 {
			break
		}
		if time.Now().After(end) {
			t.Fatal(events)
		}
	}
	resident, wasm := l.memory()
	t.Logf("workerd's memory %d MiB, then %d; wasm %d MiB", before, resident, wasm)
	if grown := resident - before; grown > mostGrown {
		t.Errorf("memory grew by %d MiB", grown)
	}
	other := l.dial("/conn")
	if got, err := ask(t.Context(), other, "hello"); err != nil || got != "hello" {
		t.Errorf("another connection: %q, %v", got, err)
	}
}
