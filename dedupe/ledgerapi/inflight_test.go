//go:build !js

package ledgerapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/internal/inflight"
	"flow.internal/capdo/dedupe/memdedupe"
)

// The API refuses in the same way. A refused request changes nothing.
func TestTheAPIRefusesWhatThereIsNoRoomFor(t *testing.T) {
	const token = "0123456789abcdef0123456789abcdef"
	tokens, err := ParseTokens("t:" + token)
	if err != nil {
		t.Fatal(err)
	}
	ledger := memdedupe.NewLedger(nil)
	claim, err := ledger.Claim(context.Background(), []byte("key"), dedupe.ClaimOptions{Lease: time.Hour})
	if err == nil {
		err = ledger.Complete(context.Background(), claim, make([]byte, 300_000))
	}
	if err != nil {
		t.Fatal(err)
	}
	h := NewHandler(API{
		Tokens: func(*http.Request) (*Tokens, error) { return tokens, nil },
		Ledger: func(*http.Request, string) (dedupe.Ledger, error) { return ledger, nil },
	})
	call := func(path string, length int64, body io.Reader) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", path, body)
		r.ContentLength = length
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	isOverloaded := func(w *httptest.ResponseRecorder) bool {
		return w.Code == 503 && strings.Contains(w.Body.String(), `"code":"overloaded"`) && w.Header().Get("Retry-After") != ""
	}
	neverRead := iotest.ErrReader(errors.New("it was read"))
	nothingLeft := inflight.WithLimit(1<<20, func() {
		if w := call("/v1/claims/complete", 300_000, neverRead); !isOverloaded(w) {
			t.Errorf("a large result: %d %s", w.Code, w.Body)
		}
		body := `{"key":"a2V5","owner":"bw==","lease_ms":1000}`
		if w := call("/v1/claims", int64(len(body)), strings.NewReader(body)); !isOverloaded(w) {
			t.Errorf("a large replay: %d %.200s", w.Code, w.Body)
		}
		body = `{"key":"b3RoZXI=","owner":"bw==","lease_ms":1000}`
		if w := call("/v1/claims", int64(len(body)), strings.NewReader(body)); w.Code != 200 {
			t.Errorf("a claim within the budget: %d %s", w.Code, w.Body)
		}
	})
	if !nothingLeft {
		t.Error("finished requests still count")
	}
}
