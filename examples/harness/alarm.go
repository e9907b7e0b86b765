package main

import (
	"context"
	"math"
	"net/http"
	"time"

	"flow.internal/capdo/durable"
)

// The object has one alarm. It is set for the next expiry of a value or the
// next delivery of the user's alarm, whichever is earlier.
const (
	alarmKey = reserved + "alarm"
	logKey   = reserved + "log"
)

// userAlarm is an alarm that the user has set.
type userAlarm struct {
	At       int64 `json:"at"`
	Next     int64 `json:"next"` // next delivery; later than the scheduled time after a failure
	Retries  int   `json:"retries"`
	Failures int   `json:"failures"` // how many more deliveries will fail
}

// delivery is an entry of the delivery log.
type delivery struct {
	ScheduledMS int64 `json:"scheduled_ms"`
	DeliveredMS int64 `json:"delivered_ms"`
	RetryCount  int   `json:"retry_count"`
	Failed      bool  `json:"failed"`
}

// Like the platform's alarms, the user's alarm is retried up to 6 times, first
// after 2 s and then each time after twice as long.
const (
	maxRetries      = 6
	firstRetryAfter = 2000
)

// Limits of a single alarm.
const (
	maxDeliveries = 100 // in the log
	maxSwept      = 40  // values; the three entries of each go in one call, of 128 at most
)

// arm sets the object's alarm for whatever is due first.
func arm(ctx context.Context, txn *durable.Transaction) error {
	user, _, err := durable.GetAsync[userAlarm](ctx, txn, alarmKey, nil)
	if err != nil {
		return err
	}
	due := user.Next
	first, err := txn.List(ctx, &durable.ListOptions{Prefix: duePrefix, Limit: 1})
	if err != nil {
		return err
	}
	for _, e := range first {
		var key string
		if err := durable.Decode(e.Value, &key); err != nil {
			return err
		}
		expires, err := expiry(ctx, txn, key)
		if err != nil {
			return err
		}
		if due == 0 || expires < due {
			due = expires
		}
	}
	if due == 0 {
		return txn.DeleteAlarm(ctx, nil)
	}
	return txn.SetAlarm(ctx, time.UnixMilli(due), nil)
}

// ring delivers the user's alarm if it is due, and removes expired values.
func ring(ctx context.Context, txn *durable.Transaction) error {
	user, _, err := durable.GetAsync[userAlarm](ctx, txn, alarmKey, nil)
	if err != nil {
		return err
	}
	if user.Next != 0 && user.Next <= now() {
		if err := deliver(ctx, txn, user); err != nil {
			return err
		}
	}
	return sweep(ctx, txn)
}

// deliver logs a delivery. If the delivery fails, it schedules a retry.
func deliver(ctx context.Context, txn *durable.Transaction, user userAlarm) error {
	log, _, err := durable.GetAsync[[]delivery](ctx, txn, logKey, nil)
	if err != nil {
		return err
	}
	log = append(log, delivery{user.At, now(), user.Retries, user.Failures > 0})
	if err := txn.Put(ctx, logKey, log[max(0, len(log)-maxDeliveries):], nil); err != nil {
		return err
	}
	if user.Failures == 0 || user.Retries == maxRetries {
		_, err := txn.Delete(ctx, alarmKey, nil)
		return err
	}
	user.Next = now() + firstRetryAfter<<user.Retries
	user.Retries++
	user.Failures--
	return txn.Put(ctx, alarmKey, user, nil)
}

// sweep removes expired values, the oldest first. If more are left, it sets the
// alarm for now.
func sweep(ctx context.Context, txn *durable.Transaction) error {
	due, err := txn.List(ctx,
		&durable.ListOptions{Start: duePlace(0), End: duePlace(now() + 1), Limit: maxSwept})
	if err != nil || len(due) == 0 {
		return err
	}
	var gone []string
	for _, e := range due {
		var key string
		if err := durable.Decode(e.Value, &key); err != nil {
			return err
		}
		gone = append(gone, e.Key, key, ttlName(key))
	}
	_, err = txn.DeleteMany(ctx, gone, nil)
	return err
}

// alarmRequest is the body of /alarm/set.
type alarmRequest struct {
	ScheduledMS *int64 `json:"scheduled_ms"`
	Failures    int    `json:"failures"`
}

func (r *alarmRequest) check() error {
	switch {
	case r.ScheduledMS == nil:
		return &inputError{"scheduled_ms", "it is missing"}
	case *r.ScheduledMS < 1 || *r.ScheduledMS > math.MaxInt64/int64(time.Millisecond):
		return &inputError{"scheduled_ms", "it must be Unix time in ms, between 1970 and 2262"}
	case r.Failures < 0 || r.Failures > maxRetries+1:
		return &inputError{"failures", "it must be from 0 to 7"}
	}
	return nil
}

func (o *object) setAlarm(w http.ResponseWriter, r *http.Request) {
	req, err := readBody[alarmRequest](w, r, maxKeyBody)
	if err != nil {
		fail(w, err)
		return
	}
	if err := req.check(); err != nil {
		fail(w, err)
		return
	}
	err = o.update(r.Context(), func(ctx context.Context, txn *durable.Transaction) error {
		return txn.Put(ctx, alarmKey, userAlarm{At: *req.ScheduledMS, Next: *req.ScheduledMS, Failures: req.Failures}, nil)
	})
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, http.StatusOK, success)
}

func (o *object) getAlarm(w http.ResponseWriter, r *http.Request) {
	user, _, err := durable.GetAsync[userAlarm](r.Context(), o.state.Storage(), alarmKey, nil)
	if err != nil {
		fail(w, err)
		return
	}
	answer := map[string]any{"alarm_ms": nil}
	if user.At != 0 {
		answer["alarm_ms"] = user.At
	}
	reply(w, http.StatusOK, answer)
}

func (o *object) deleteAlarm(w http.ResponseWriter, r *http.Request) {
	err := o.update(r.Context(), func(ctx context.Context, txn *durable.Transaction) error {
		_, err := txn.Delete(ctx, alarmKey, nil)
		return err
	})
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, http.StatusOK, success)
}

func (o *object) deliveries(w http.ResponseWriter, r *http.Request) {
	log, found, err := durable.GetAsync[[]delivery](r.Context(), o.state.Storage(), logKey, nil)
	if err != nil {
		fail(w, err)
		return
	}
	if !found {
		log = []delivery{} // [] in JSON, not null
	}
	reply(w, http.StatusOK, map[string]any{"deliveries": log})
}
