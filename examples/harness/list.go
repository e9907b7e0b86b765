package main

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"flow.internal/capdo/durable"
)

// maxKeys is the limit of keys in one answer. The object reads a page of keys
// with its values, which are up to 2 MB each.
const (
	maxKeys  = 1000
	pageSize = 16
)

func (o *object) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit := maxKeys
	if text := q.Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxKeys {
			fail(w, &inputError{"limit", "it must be a number from 1 to 1000"})
			return
		}
	}
	keys, more, err := o.keys(r.Context(), q.Get("prefix"), q.Get("start"), limit)
	if err != nil {
		fail(w, err)
		return
	}
	answer := map[string]any{"keys": keys}
	if more {
		answer["next"] = keys[len(keys)-1] + "\x00" // the start of the next page
	}
	reply(w, http.StatusOK, answer)
}

// keys lists keys that have not expired, and reports whether there are more.
func (o *object) keys(
	ctx context.Context, prefix, start string, limit int,
) (keys []string, more bool, err error) {
	keys = []string{}
	for {
		entries, err := o.state.Storage().List(ctx,
			&durable.ListOptions{Prefix: prefix, Start: start, Limit: pageSize})
		if err != nil {
			return nil, false, err
		}
		live, err := o.live(ctx, entries)
		if err != nil {
			return nil, false, err
		}
		keys = append(keys, live...)
		switch {
		case len(keys) > limit:
			return keys[:limit], true, nil
		case len(entries) < pageSize:
			return keys, false, nil
		}
		start = entries[pageSize-1].Key + "\x00"
		if strings.HasPrefix(start, reserved) {
			start = afterReserved
		}
	}
}

// live filters the user's keys that have not expired.
func (o *object) live(ctx context.Context, entries []durable.Entry) (keys []string, err error) {
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Key, reserved) {
			names = append(names, ttlName(e.Key))
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	expires, err := o.state.Storage().GetMany(ctx, names, nil)
	if err != nil {
		return nil, err
	}
	expired := map[string]bool{}
	for _, e := range expires {
		var at int64
		if err := durable.Decode(e.Value, &at); err != nil {
			return nil, err
		}
		expired[e.Key] = at <= now()
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Key, reserved) && !expired[ttlName(e.Key)] {
			keys = append(keys, e.Key)
		}
	}
	return keys, nil
}
