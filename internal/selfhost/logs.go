package selfhost

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
)

// relay passes on the output of workerd and the Worker, line by line, and keeps
// the last lines.
type relay struct {
	json *slog.Logger // nil: pass lines unchanged
	text io.Writer

	metrics *metrics // nil: none

	mu   sync.Mutex
	last []string
}

const (
	keptLines = 20
	lineLimit = 1 << 20
)

// read relays a stream until it ends. It splits lines that are longer than
// lineLimit.
func (r *relay) read(stream io.Reader) {
	lines := bufio.NewReaderSize(stream, lineLimit)
	for {
		line, err := lines.ReadSlice('\n')
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
			r.pass(string(line))
		}
		if err != nil && err != bufio.ErrBufferFull {
			return
		}
	}
}

func (r *relay) pass(line string) {
	message := line
	record, ok := parseRecord(line)
	if ok {
		message = record.Message
	}
	r.mu.Lock()
	r.last = append(r.last, message)
	if len(r.last) > keptLines {
		r.last = r.last[1:]
	}
	r.mu.Unlock()
	r.metrics.count(record.origin(ok), levels[record.Level].String())
	switch {
	case r.json == nil:
		io.WriteString(r.text, line+"\n")
	case ok:
		r.log(record)
	default:
		r.json.Info(line, "from", "workerd")
	}
}

// tail returns the last lines.
func (r *relay) tail() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.last, "\n")
}

// record is a line of workerd's structured log.
type record struct {
	Timestamp              json.RawMessage // ms, as a number or a string
	Level, Message, Source string
}

func parseRecord(line string) (r record, ok bool) {
	if !strings.HasPrefix(line, `{"timestamp":`) || json.Unmarshal([]byte(line), &r) != nil {
		return r, false
	}
	return r, true
}

var levels = map[string]slog.Level{"debug": slog.LevelDebug, "trace": slog.LevelDebug,
	"warn": slog.LevelWarn, "warning": slog.LevelWarn, "error": slog.LevelError}

// origin returns who printed a line. Lines that are no records, and records
// with a source, come from workerd; the others come from the Worker.
func (r *record) origin(isRecord bool) string {
	if !isRecord || r.Source != "" {
		return "workerd"
	}
	return "worker"
}

// log converts workerd's record to the form of capdo's own log.
func (r *relay) log(w record) {
	at := time.Now()
	if ms, err := strconv.ParseInt(strings.Trim(string(w.Timestamp), `"`), 10, 64); err == nil {
		at = time.UnixMilli(ms)
	}
	out := slog.NewRecord(at, levels[w.Level], w.Message, 0)
	out.AddAttrs(slog.String("from", w.origin(true)))
	r.json.Handler().Handle(context.Background(), out)
}
