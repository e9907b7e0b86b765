package main

import (
	"encoding/base64"
	"math"
	"net/http"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable/durablehttp"
)

const scope = "harness"

// keyRequest is the body of the dedupe operations.
type keyRequest struct {
	Key        *string `json:"key"`
	Encoding   string  `json:"encoding"`    // "base64" for a binary key
	TTLSeconds float64 `json:"ttl_seconds"` // 0: the default
}

func putIfAbsent(w http.ResponseWriter, r *http.Request) (any, error) {
	req, key, err := readKey(w, r)
	if err != nil {
		return nil, err
	}
	ttl, err := seconds(req.TTLSeconds)
	if err != nil {
		return nil, err
	}
	store, err := newStore(r)
	if err != nil {
		return nil, err
	}
	inserted, err := store.PutIfAbsent(r.Context(), key, ttl)
	return map[string]bool{"inserted": inserted}, err
}

func forget(w http.ResponseWriter, r *http.Request) (any, error) {
	_, key, err := readKey(w, r)
	if err != nil {
		return nil, err
	}
	store, err := newStore(r)
	if err != nil {
		return nil, err
	}
	return success, store.Forget(r.Context(), key)
}

func newStore(r *http.Request) (dedupe.Store, error) {
	return dodedupe.NewStore(durablehttp.Env(r),
		&dodedupe.StoreOptions{Binding: bindingOf(r), Scope: scope})
}

// readKey reads a request's body and key.
func readKey(w http.ResponseWriter, r *http.Request) (req keyRequest, key []byte, err error) {
	if req, err = readBody[keyRequest](w, r, maxKeyBody); err != nil {
		return req, nil, err
	}
	if req.Key == nil {
		return req, nil, &inputError{"key", "it is missing"}
	}
	key, err = decode("key", *req.Key, req.Encoding)
	return req, key, err
}

// decode returns the bytes of a string, which may be base64.
func decode(field, text, encoding string) ([]byte, error) {
	switch encoding {
	case "":
		return []byte(text), nil
	case "base64":
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, &inputError{field, "it is not base64"}
		}
		return b, nil
	}
	return nil, &inputError{"encoding", `it can be "base64" or absent`}
}

// seconds converts seconds to a duration, rounded up to ns.
func seconds(s float64) (time.Duration, error) {
	ns := math.Ceil(s * float64(time.Second))
	if ns > float64(dedupe.MaxTTL) {
		return 0, dedupe.ErrInvalidTTL
	}
	return time.Duration(ns), nil
}

// numberRequest is the body of /sequence/next.
type numberRequest struct {
	Stream     *string `json:"stream"`
	Key        *string `json:"key"`
	Hash       string  `json:"hash"` // of the payload
	TTLSeconds float64 `json:"ttl_seconds"`
}

func nextNumber(w http.ResponseWriter, r *http.Request) (any, error) {
	req, err := readBody[numberRequest](w, r, maxKeyBody)
	switch {
	case err != nil:
	case req.Stream == nil || *req.Stream == "":
		err = &inputError{"stream", "it is missing"}
	case len(*req.Stream) > dedupe.MaxKeySize:
		err = &inputError{"stream", "it is larger than 2048 bytes"}
	case req.Key == nil || *req.Key == "":
		err = &inputError{"key", "it is missing"}
	}
	if err != nil {
		return nil, err
	}
	ttl, err := seconds(req.TTLSeconds)
	if err != nil {
		return nil, err
	}
	binding := r.URL.Query().Get("binding")
	if binding == "" {
		binding = sqlBinding // sequencers need SQLite
	}
	sequencer, err := dodedupe.NewSequencer(durablehttp.Env(r),
		&dodedupe.LedgerOptions{Binding: binding, Scope: scope})
	if err != nil {
		return nil, err
	}
	seq, err := sequencer.Next(r.Context(), []byte(*req.Stream), []byte(*req.Key),
		[]byte(req.Hash), ttl)
	return map[string]any{"n": seq.N, "inserted": seq.Inserted,
		"first_seen_ms": seq.FirstSeen.UnixMilli()}, err
}
