// Package profile records a Worker with V8's CPU profiler. It converts the
// result to a profile for go tool pprof with the names of Go's functions.
package profile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// CPU is a profile in V8's format, defined by the Chrome DevTools Protocol.
// https://chromedevtools.github.io/devtools-protocol/tot/Profiler/#type-Profile
type CPU struct {
	Nodes      []Node `json:"nodes"`
	StartTime  int64  `json:"startTime"` // µs
	EndTime    int64  `json:"endTime"`
	Samples    []int  `json:"samples"`    // the nodes' ids
	TimeDeltas []int  `json:"timeDeltas"` // µs since the previous sample
}

// Node is a function at one place in the call tree.
type Node struct {
	ID       int   `json:"id"`
	Call     Call  `json:"callFrame"`
	Children []int `json:"children"`
}

// Call is a function.
type Call struct {
	Function string `json:"functionName"`
	URL      string `json:"url"`
	Line     int    `json:"lineNumber"` // from 0; -1 if there is none
}

// Interval is the time between two samples.
const Interval = 200 * time.Microsecond

// maxProfile is the largest size of a profile that is read, in bytes.
const maxProfile = 512 << 20

// Session is a connection to the inspector of a Worker.
type Session struct {
	conn *websocket.Conn
	last int // id of the last command
}

// Connect connects to the inspector at an address. workerd lists its isolates;
// wrangler's inspector has one.
func Connect(ctx context.Context, address string) (*Session, error) {
	target, err := findTarget(ctx, address)
	if err != nil {
		return nil, err
	}
	conn, _, err := websocket.Dial(ctx, target, origin())
	if err != nil {
		return nil, fmt.Errorf("the inspector at %s: %w", address, err)
	}
	conn.SetReadLimit(maxProfile)
	s := &Session{conn: conn}
	if err := s.prepare(ctx); err != nil {
		conn.CloseNow()
		return nil, err
	}
	return s, nil
}

// findTarget asks for the URL of the WebSocket for the user's Worker.
func findTarget(ctx context.Context, address string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, "GET", "http://"+address+"/json", nil)
	if err != nil {
		return "", fmt.Errorf("the inspector's address %q is not HOST:PORT", address)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", fmt.Errorf("nothing answers at %s"+
			"\nhint: start capdo dev --profile in another terminal, "+
			"or workerd serve --inspector-addr=%[1]s", address)
	}
	defer resp.Body.Close()
	var targets []struct {
		URL string `json:"webSocketDebuggerUrl"`
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || json.Unmarshal(b, &targets) != nil || len(targets) == 0 ||
		!strings.HasPrefix(targets[0].URL, "ws://") {
		return "", fmt.Errorf("%s is not the address of a Worker's inspector"+
			"\nhint: --inspector is the address that workerd or wrangler dev prints", address)
	}
	return targets[0].URL, nil
}

func (s *Session) prepare(ctx context.Context) error {
	if err := s.do(ctx, "Profiler.enable", nil, nil); err != nil {
		return err
	}
	return s.do(ctx, "Profiler.setSamplingInterval",
		map[string]int64{"interval": Interval.Microseconds()}, nil)
}

// Start starts the recording.
func (s *Session) Start(ctx context.Context) error { return s.do(ctx, "Profiler.start", nil, nil) }

// Stop ends the recording and returns it.
func (s *Session) Stop(ctx context.Context) (*CPU, error) {
	var result struct{ Profile *CPU }
	if err := s.do(ctx, "Profiler.stop", nil, &result); err != nil {
		return nil, err
	}
	if result.Profile == nil {
		return nil, errors.New("the inspector sent no profile")
	}
	return result.Profile, nil
}

// Close ends the session.
func (s *Session) Close() { s.conn.CloseNow() }

// do sends a command and waits for its result.
func (s *Session) do(ctx context.Context, method string, params, result any) error {
	s.last++
	b, err := json.Marshal(map[string]any{"id": s.last, "method": method, "params": params})
	if err != nil {
		return err
	}
	if err := s.conn.Write(ctx, websocket.MessageText, b); err != nil {
		return fmt.Errorf("%s: the inspector is gone: %w", method, err)
	}
	for {
		_, b, err := s.conn.Read(ctx)
		if err != nil {
			return fmt.Errorf("%s: the inspector is gone: %w", method, err)
		}
		var m struct {
			ID     int
			Result json.RawMessage
			Error  *struct{ Message string }
		}
		if err := json.Unmarshal(b, &m); err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		switch {
		case m.ID != s.last: // an event
		case m.Error != nil:
			return fmt.Errorf("%s: %s", method, m.Error.Message)
		case result == nil:
			return nil
		default:
			return json.Unmarshal(m.Result, result)
		}
	}
}
