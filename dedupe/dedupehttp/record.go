package dedupehttp

import (
	"encoding/binary"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/internal/inflight"
)

// Limits of the stored part of a response. Together with a status they fit into
// [dedupe.MaxResultSize].
const (
	// MaxKeptBody is the size of the largest body that is kept, in bytes.
	MaxKeptBody = 960 << 10
	// MaxKeptHeader is the size of the largest header that is kept, in
	// bytes: of names and values, and a few bytes for each.
	MaxKeptHeader = 63 << 10
)

// A record of the largest body and header fits into a result.
const _ = uint(dedupe.MaxResultSize - MaxKeptBody - MaxKeptHeader - 64)

// Headers of responses.
const (
	headerReplayed   = "Idempotent-Replayed"
	headerIncomplete = "Idempotent-Incomplete"
	headerExpires    = "Idempotency-Expires"
)

// Errors of a record. Neither reveals its content.
var (
	errRecord        = errors.New("the stored response is corrupt, or not a response")
	errRecordVersion = errors.New(
		"the stored response is of a version that this program does not know")
)

// record is the stored part of a response.
type record struct {
	status int
	// A name without values stands for a header that is not sent, although the
	// server or an outer handler would send it.
	header     http.Header
	body       []byte
	incomplete bool      // the body is not kept, and perhaps not the header
	expires    time.Time // to the second; zero if unknown
}

// The format of a record: its first two bytes; then flags, status, expiry in
// Unix seconds or 0, header, body. Numbers are varints, strings and lists come
// after their length.
const (
	recordMagic   = 'H'
	recordVersion = 1

	recordIncomplete = 1 // the only flag
)

func (c *record) encode() []byte {
	var flags, expires uint64
	if c.incomplete {
		flags = recordIncomplete
	}
	if !c.expires.IsZero() {
		expires = uint64(c.expires.Unix())
	}
	b := []byte{recordMagic, recordVersion}
	for _, n := range []uint64{flags, uint64(c.status), expires} {
		b = binary.AppendUvarint(b, n)
	}
	b = appendHeader(b, c.header)
	return append(binary.AppendUvarint(b, uint64(len(c.body))), c.body...)
}

func appendHeader(b []byte, header http.Header) []byte {
	b = binary.AppendUvarint(b, uint64(len(header)))
	for _, name := range slices.Sorted(maps.Keys(header)) {
		b = appendString(b, name)
		b = binary.AppendUvarint(b, uint64(len(header[name])))
		for _, value := range header[name] {
			b = appendString(b, value)
		}
	}
	return b
}

// decodeRecord fails with errRecord or errRecordVersion. The record may refer
// to b.
func decodeRecord(b []byte) (*record, error) {
	if len(b) < 2 || b[0] != recordMagic {
		return nil, errRecord
	}
	if b[1] != recordVersion {
		return nil, errRecordVersion
	}
	p := &recordParser{rest: b[2:]}
	flags, status, expires := p.number(), p.number(), p.number()
	c := &record{status: int(status), incomplete: flags == recordIncomplete, header: p.header()}
	c.body = p.bytes()
	const year9999 = 253402300799 // the last that an HTTP date can say
	known := flags <= recordIncomplete && 200 <= status && status <= 999 && expires <= year9999
	if p.failed || len(p.rest) > 0 || !known || len(c.body) > 0 && !bodyAllowed(c.status) {
		return nil, errRecord
	}
	if expires > 0 {
		c.expires = time.Unix(int64(expires), 0)
	}
	return c, nil
}

// recordParser reads a record from its beginning. After a failure it returns
// zeros.
type recordParser struct {
	rest   []byte
	failed bool
}

func (p *recordParser) number() uint64 {
	n, size := binary.Uvarint(p.rest)
	if size <= 0 {
		p.failed, p.rest = true, nil
		return 0
	}
	p.rest = p.rest[size:]
	return n
}

func (p *recordParser) bytes() []byte {
	n := p.number()
	if n > uint64(len(p.rest)) {
		p.failed, p.rest = true, nil
		return nil
	}
	var b []byte
	b, p.rest = p.rest[:n], p.rest[n:]
	return b
}

func (p *recordParser) header() http.Header {
	h := http.Header{}
	for range p.number() {
		name := string(p.bytes())
		// After a failure the name is empty.
		if !isHeaderName(name) || h[name] != nil {
			p.failed = true
			return nil
		}
		// Memory grows with what is read, not with what a length announces.
		h[name] = []string{}
		for range p.number() {
			value := string(p.bytes())
			if p.failed || value != cleanValue(value) {
				p.failed = true
				return nil
			}
			h[name] = append(h[name], value)
		}
	}
	return h
}

// replay sends the response again.
func (c *record) replay(w http.ResponseWriter) {
	h := w.Header()
	maps.Copy(h, c.header)
	h.Set(headerReplayed, "true")
	if c.incomplete {
		h.Set(headerIncomplete, "true")
	}
	c.setExpires(h)
	w.WriteHeader(c.status)
	// An error means that the client has gone.
	inflight.WritePieces(w, c.body)
}

func (c *record) setExpires(h http.Header) {
	if !c.expires.IsZero() {
		h.Set(headerExpires, c.expires.UTC().Format(http.TimeFormat))
	}
}

// notKept are headers that belong to one response or to one connection (RFC
// 9110, section 7.6.1), or that the middleware sets itself. A cookie is for the
// client that got the first response; a store must not give it to another.
var notKept = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Date", "Set-Cookie", headerReplayed, headerExpires, headerIncomplete,
}

// ofBody are headers that describe a body. They would be wrong without it.
var ofBody = []string{"Content-Type", "Content-Length", "Content-Encoding", "Content-Range",
	"Content-Digest", "Content-Md5", "Digest"}

// keptHeader returns the part of a header to store. It leaves out headers that
// outer handlers had set (before), and without the body those that describe it.
func keptHeader(header, before http.Header, withBody bool) http.Header {
	kept := http.Header{}
	for name, values := range header {
		if was, ok := before[name]; !ok || !slices.Equal(was, values) {
			kept[name] = values
		}
	}
	for name := range before {
		if _, ok := header[name]; !ok {
			kept[name] = nil
		}
	}
	for _, names := range header["Connection"] {
		for name := range strings.SplitSeq(names, ",") {
			delete(kept, http.CanonicalHeaderKey(strings.TrimSpace(name)))
		}
	}
	maps.DeleteFunc(kept, func(name string, _ []string) bool {
		return slices.Contains(notKept, name) || !withBody && slices.Contains(ofBody, name)
	})
	return kept
}

// cleanHeader returns a copy of a header in canonical form, without trailers
// and line ends, as net/http's server does.
func cleanHeader(header http.Header) http.Header {
	clean := make(http.Header, len(header))
	for _, as := range slices.Sorted(maps.Keys(header)) {
		name := http.CanonicalHeaderKey(as)
		if !isHeaderName(name) || name == "Trailer" {
			continue
		}
		values := clean[name]
		for _, value := range header[as] {
			values = append(values, cleanValue(value))
		}
		clean[name] = values
	}
	return clean
}

var lineEnds = strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ")

func cleanValue(s string) string { return strings.Trim(lineEnds.Replace(s), " \t") }

// isHeaderName reports whether s is a token (RFC 9110, section 5.6.2).
func isHeaderName(s string) bool {
	for i := range len(s) {
		c := s[i]
		alphanumeric := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !alphanumeric && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// bodyAllowed reports whether a response with that status can have a body.
func bodyAllowed(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}
