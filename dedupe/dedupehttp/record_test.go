package dedupehttp

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
)

var records = map[string]record{
	"a response":   {status: 201, header: http.Header{"Location": {"/1"}, "Vary": {"a", "b"}}, body: []byte("body"), expires: time.Unix(1e9, 0)},
	"no body":      {status: 204, header: http.Header{}},
	"no values":    {status: 200, header: http.Header{"Date": {}}, body: []byte{}},
	"incomplete":   {status: 999, header: http.Header{}, incomplete: true},
	"binary, long": {status: 200, header: http.Header{"X": {strings.Repeat("x", 1000)}}, body: bytes.Repeat([]byte{0, 255}, 1<<12)},
}

func sameRecord(a, b *record) bool {
	return a.status == b.status && a.incomplete == b.incomplete && a.expires.Equal(b.expires) && bytes.Equal(a.body, b.body) &&
		reflect.DeepEqual(a.header, b.header)
}

func TestRecordsAreReadAsTheyWereWritten(t *testing.T) {
	for name, c := range records {
		if got, err := decodeRecord(c.encode()); err != nil || !sameRecord(got, &c) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	c := records["a response"] // records that are stored in ledgers must still be readable
	const want = "H\x01\x00\xc9\x01\x80\x94\xeb\xdc\x03\x02\x08Location\x01\x02/1\x04Vary\x02\x01a\x01b\x04body"
	if got := string(c.encode()); got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
}

func TestLargestRecordFitsIntoTheLedger(t *testing.T) {
	c := &record{status: 999, header: http.Header{"X": {""}}, body: make([]byte, MaxKeptBody), expires: time.Unix(253402300799, 0)}
	c.header["X"][0] = strings.Repeat("x", MaxKeptHeader-len(appendHeader(nil, c.header))-2)
	if n := len(appendHeader(nil, c.header)); n != MaxKeptHeader {
		t.Fatalf("a header of %d bytes", n)
	}
	if err := dedupe.CheckResult(c.encode()); err != nil {
		t.Error(err)
	}
}

func TestInvalidRecordsAreRefused(t *testing.T) {
	good := records["a response"]
	whole := good.encode()
	for n := range whole {
		if _, err := decodeRecord(whole[:n]); !errors.Is(err, errRecord) {
			t.Errorf("the first %d bytes: %v", n, err)
		}
	}
	huge := "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
	for name, c := range map[string]struct {
		b    string
		want error
	}{
		"another format":                   {"{\"status\":200}", errRecord},
		"a newer version":                  {"H\x02anything", errRecordVersion},
		"more behind it":                   {string(whole) + "x", errRecord},
		"an unknown flag":                  {"H\x01\x02\xc8\x01\x00\x00\x00", errRecord},
		"a status below 200":               {"H\x01\x00\x64\x00\x00\x00", errRecord},
		"a status of four digits":          {"H\x01\x00\xe8\x07\x00\x00\x00", errRecord},
		"a status of 64 bits":              {"H\x01\x00" + huge + "\x00\x00\x00", errRecord},
		"a year of five digits":            {"H\x01\x00\xc8\x01" + huge + "\x00\x00", errRecord},
		"a body of 204":                    {"H\x01\x00\xcc\x01\x00\x00\x01x", errRecord},
		"more headers than the record has": {"H\x01\x00\xc8\x01\x00" + huge, errRecord},
		"more values than the record has":  {"H\x01\x00\xc8\x01\x00\x01\x01X" + huge, errRecord},
		"a name longer than the record":    {"H\x01\x00\xc8\x01\x00\x01" + huge, errRecord},
		"a body longer than the record":    {"H\x01\x00\xc8\x01\x00\x00" + huge, errRecord},
		"a line end in a value":            {"H\x01\x00\xc8\x01\x00\x01\x01X\x01\x03a\nb\x00", errRecord},
		"a line end in a name":             {"H\x01\x00\xc8\x01\x00\x01\x03X\nY\x01\x01a\x00", errRecord},
		"an empty name":                    {"H\x01\x00\xc8\x01\x00\x01\x00\x01\x01a\x00", errRecord},
		"a name twice":                     {"H\x01\x00\xc8\x01\x00\x02\x01X\x00\x01X\x00\x00", errRecord},
	} {
		if got, err := decodeRecord([]byte(c.b)); !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	for _, c := range records {
		f.Add(c.encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeRecord(b)
		if err != nil {
			if c != nil || !errors.Is(err, errRecord) && !errors.Is(err, errRecordVersion) {
				t.Errorf("%+v, %v", c, err)
			}
			return
		}
		if again, err := decodeRecord(c.encode()); err != nil || !sameRecord(again, c) {
			t.Errorf("%+v\nis read again as %+v, %v", c, again, err)
		}
		w := httptest.NewRecorder()
		c.replay(w)
		if w.Code != c.status || w.Header().Get(headerReplayed) != "true" || !bytes.Equal(w.Body.Bytes(), c.body) {
			t.Errorf("%+v\nis sent as %+v", c, w)
		}
	})
}

// Any response that a handler makes can be stored and read again. The first
// client gets the same response as later ones.
func FuzzResponse(f *testing.F) {
	f.Add(200, "Content-Type", "text/plain", "X-A", "b", []byte("body"))
	f.Add(201, "Set-Cookie", "a=b", "set-cookie", "c\r\nX-Injected: d", []byte(nil))
	f.Add(204, "Connection", "x-a, close", "x-a", "b", []byte("no"))
	f.Add(304, "Trailer:X", "a", "na me", "\x00", []byte{0})
	f.Fuzz(func(t *testing.T, status int, name1, value1, name2, value2 string, body []byte) {
		if status < 200 || status > 999 {
			return
		}
		first, repeated := httptest.NewRecorder(), httptest.NewRecorder()
		rec := newRecorder(first, false, nil)
		rec.Header().Set(name1, value1)
		rec.Header()[name2] = append(rec.Header()[name2], value2)
		rec.WriteHeader(status)
		rec.Write(body)
		rec.finish()
		c := rec.record(time.Time{})
		rec.send(c)
		got, err := decodeRecord(c.encode())
		if err != nil || !sameRecord(got, c) {
			t.Fatalf("%+v, %v; want %+v", got, err, c)
		}
		got.replay(repeated)
		if first.Code != repeated.Code || !bytes.Equal(first.Body.Bytes(), repeated.Body.Bytes()) && !got.incomplete {
			t.Errorf("%+v\n%+v", first, repeated)
		}
		for name, values := range repeated.Header() {
			if name != headerReplayed && name != headerIncomplete && !reflect.DeepEqual(first.Header()[name], values) {
				t.Errorf("%q: %q, but the first response has %q", name, values, first.Header()[name])
			}
			if strings.ContainsAny(name+strings.Join(values, ""), "\r\n\x00") || name == "Set-Cookie" {
				t.Errorf("%q: %q", name, values)
			}
		}
	})
}
