// Harness is a Worker that answers the dedupe operations over HTTP, for trying things out on one's own machine.
package main

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
)

func main() {
	dodedupe.Register("FlowDurableObject")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, r *http.Request) {
		reply(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("POST /dedupe/put_if_absent", guarded(putIfAbsent))
	mux.HandleFunc("POST /dedupe/forget", guarded(forget))
	durablehttp.Handle(mux)
	if err := durable.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// guarded lets a request that changes state in from the machine that it runs on, as under wrangler dev; elsewhere only with the secret
// HARNESS_TOKEN as bearer token.
func guarded(h func(http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !isLocal(r.Host) && !hasToken(r) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			fail(w, http.StatusUnauthorized, errors.New("beyond localhost the harness needs the secret HARNESS_TOKEN as bearer token"))
			return
		}
		h(w, r)
	}
}

func isLocal(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return host == "localhost" || net.ParseIP(strings.Trim(host, "[]")).IsLoopback()
}

func hasToken(r *http.Request) bool {
	token, ok, err := durablehttp.Env(r).Var("HARNESS_TOKEN")
	given, isBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return err == nil && ok && token != "" && isBearer && subtle.ConstantTimeCompare([]byte(given), []byte(token)) == 1
}

// maxBody holds a key of the largest size as base64 in JSON.
const maxBody = 16 << 10

// request is the body of both operations.
type request struct {
	Key        *string `json:"key"`
	Encoding   string  `json:"encoding"`    // "base64" for a key of any bytes
	TTLSeconds float64 `json:"ttl_seconds"` // 0: the default
}

func putIfAbsent(w http.ResponseWriter, r *http.Request) {
	req, key, ok := read(w, r)
	if !ok {
		return
	}
	ttl, err := seconds(req.TTLSeconds)
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	store, err := newStore(r)
	if err != nil {
		failed(w, err)
		return
	}
	inserted, err := store.PutIfAbsent(r.Context(), key, ttl)
	if err != nil {
		failed(w, err)
		return
	}
	reply(w, http.StatusOK, map[string]bool{"inserted": inserted})
}

func forget(w http.ResponseWriter, r *http.Request) {
	_, key, ok := read(w, r)
	if !ok {
		return
	}
	store, err := newStore(r)
	if err == nil {
		err = store.Forget(r.Context(), key)
	}
	if err != nil {
		failed(w, err)
		return
	}
	reply(w, http.StatusOK, map[string]bool{"success": true})
}

func newStore(r *http.Request) (dedupe.Store, error) {
	return dodedupe.New(durablehttp.Env(r), &dodedupe.Options{Binding: "FLOW_DO", Scope: "harness"})
}

// read reads a request's body and key; otherwise it has answered.
func read(w http.ResponseWriter, r *http.Request) (req request, key []byte, ok bool) {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&req); err != nil {
		fail(w, http.StatusBadRequest, fmt.Errorf("the body is not the JSON that is expected: %w", err))
		return req, nil, false
	}
	if req.Key == nil {
		fail(w, http.StatusBadRequest, errors.New(`the JSON has no "key"`))
		return req, nil, false
	}
	key = []byte(*req.Key)
	switch req.Encoding {
	case "":
	case "base64":
		var err error
		if key, err = base64.StdEncoding.DecodeString(*req.Key); err != nil {
			fail(w, http.StatusBadRequest, errors.New("the key is not base64"))
			return req, nil, false
		}
	default:
		fail(w, http.StatusBadRequest, errors.New(`"encoding" can be "base64" or absent`))
		return req, nil, false
	}
	return req, key, true
}

// seconds turns seconds into a duration, rounded up to ns.
func seconds(s float64) (time.Duration, error) {
	ns := math.Ceil(s * float64(time.Second))
	if ns > float64(dedupe.MaxTTL) {
		return 0, dedupe.ErrInvalidTTL
	}
	return time.Duration(ns), nil
}

// failed answers an error of the store: the caller's mistakes as such, anything else as the provider's.
func failed(w http.ResponseWriter, err error) {
	for _, mistake := range []error{dedupe.ErrKeyEmpty, dedupe.ErrKeyTooLarge, dedupe.ErrInvalidTTL} {
		if errors.Is(err, mistake) {
			fail(w, http.StatusBadRequest, err)
			return
		}
	}
	slog.Error("dedupe failed", "err", err) // errors never contain keys
	fail(w, http.StatusInternalServerError, err)
}

func fail(w http.ResponseWriter, status int, err error) {
	reply(w, status, map[string]string{"error": err.Error()})
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}
