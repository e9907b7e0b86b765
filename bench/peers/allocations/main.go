// This program claims keys, one per request, and counts the heap allocations of
// Go.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
)

func main() {
	runtime.MemProfileRate = 1 // records every allocation
	dodedupe.RegisterStore("Dedupe")
	dodedupe.RegisterLedger("Ledger", nil)
	durable.HandleFetch(serve)
	durable.Run()
}

func serve(ctx context.Context, env *durable.Env, r *durable.Request) (*durable.Response, error) {
	_, path, _ := strings.Cut(r.URL, "//")
	_, path, _ = strings.Cut(path, "/")
	what, key, _ := strings.Cut(path, "/")
	var err error
	answer := "done"
	switch what {
	case "nothing":
	case "claim":
		answer, err = claim(ctx, env, key)
	case "put":
		answer, err = put(ctx, env, key)
	case "count":
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		answer = strconv.FormatUint(m.Mallocs, 10)
	case "sites":
		return sites()
	default:
		err = errors.New("no such path")
	}
	if err != nil {
		return nil, err
	}
	return &durable.Response{Status: 200, Body: bytes.NewBufferString(answer)}, nil
}

func claim(ctx context.Context, env *durable.Env, key string) (string, error) {
	ledger, err := dodedupe.NewLedger(env, nil)
	if err != nil {
		return "", err
	}
	claim, err := ledger.Claim(ctx, []byte(key), dedupe.ClaimOptions{Lease: time.Hour})
	return claim.Outcome.String(), err
}

func put(ctx context.Context, env *durable.Env, key string) (string, error) {
	store, err := dodedupe.NewStore(env, nil)
	if err != nil {
		return "", err
	}
	inserted, err := store.PutIfAbsent(ctx, []byte(key), 0)
	if inserted {
		return "acquired", err
	}
	return "in progress", err
}

// site is where allocations were made.
type site struct {
	Count int64    `json:"count"`
	Stack []string `json:"stack"` // functions with their lines, the innermost first
}

// sites returns where allocations were made so far. It lacks small allocations
// that share a block of memory with others.
func sites() (*durable.Response, error) {
	runtime.GC()
	runtime.GC() // now the profile has what was allocated before
	records := make([]runtime.MemProfileRecord, 10_000)
	n, ok := runtime.MemProfile(records, true)
	if !ok {
		return nil, errors.New("there are too many sites")
	}
	var all []site
	for _, r := range records[:n] {
		all = append(all, site{r.AllocObjects, stackOf(r.Stack())})
	}
	b, err := json.Marshal(all)
	return &durable.Response{Status: 200, Body: bytes.NewBuffer(b)}, err
}

func stackOf(pcs []uintptr) (stack []string) {
	frames := runtime.CallersFrames(pcs)
	for {
		f, more := frames.Next()
		file := f.File[strings.LastIndexByte(f.File, '/')+1:]
		stack = append(stack, f.Function+" "+file+":"+strconv.Itoa(f.Line))
		if !more {
			return stack
		}
	}
}
