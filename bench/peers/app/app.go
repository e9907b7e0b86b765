// Package app is the common part of the two capdo peers: the objects, and the
// requests to them. Each peer handles HTTP itself.
package app

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
)

// Register registers the classes.
func Register() {
	dodedupe.RegisterStore("Dedupe")
	dodedupe.RegisterLedger("Ledger", nil)
	durable.Register("Thing", newThing,
		durable.Func[*thing]("kv", (*thing).kv),
		durable.Func[*thing]("insert", (*thing).insert),
		durable.Func[*thing]("scan", (*thing).scan),
		durable.Func[*thing]("ring", (*thing).ring),
	)
}

// request is the body of every POST.
type request struct {
	Key        string `json:"key"`
	Value      string `json:"value"`
	TTLSeconds int    `json:"ttl_seconds"`
}

const minute = time.Minute

// Post performs the operation of a path and returns the answer.
func Post(ctx context.Context, env *durable.Env, path string, body []byte) (any, error) {
	var r request
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, err
	}
	switch path {
	case "/put_if_absent":
		return putIfAbsent(ctx, env, &r)
	case "/claim_complete":
		return claimComplete(ctx, env, &r)
	case "/sequence":
		return sequence(ctx, env, &r)
	}
	return callThing(ctx, env, path, &r)
}

func putIfAbsent(ctx context.Context, env *durable.Env, r *request) (any, error) {
	store, err := dodedupe.NewStore(env, nil)
	if err != nil {
		return nil, err
	}
	inserted, err := store.PutIfAbsent(ctx, []byte(r.Key), time.Duration(r.TTLSeconds)*time.Second)
	return map[string]bool{"inserted": inserted}, err
}

func claimComplete(ctx context.Context, env *durable.Env, r *request) (any, error) {
	ledger, err := dodedupe.NewLedger(env, nil)
	if err != nil {
		return nil, err
	}
	claim, err := ledger.Claim(ctx, []byte(r.Key),
		dedupe.ClaimOptions{Lease: minute, TTL: time.Duration(r.TTLSeconds) * time.Second})
	if err != nil {
		return nil, err
	}
	if err := ledger.Complete(ctx, claim, []byte("done")); err != nil {
		return nil, err
	}
	return map[string]int64{"fence": claim.Fence}, nil
}

func sequence(ctx context.Context, env *durable.Env, r *request) (any, error) {
	sequencer, err := dodedupe.NewSequencer(env, nil)
	if err != nil {
		return nil, err
	}
	seq, err := sequencer.Next(ctx, []byte(r.Value), []byte(r.Key), nil,
		time.Duration(r.TTLSeconds)*time.Second)
	return map[string]int64{"n": seq.N}, err
}

func callThing(ctx context.Context, env *durable.Env, path string, r *request) (any, error) {
	stub := env.Object("THING", r.Key)
	defer stub.Release()
	n, err := durable.Call[int64](ctx, stub, path[1:], r.Value)
	return map[string]int64{"n": n}, err
}

// Echo returns the object for WebSockets.
func Echo(env *durable.Env) *durable.Stub { return env.Object("THING", "echo") }

// thing is an object with a table, a list of values, an alarm and an echo.
type thing struct {
	state *durable.State
	rang  chan struct{}
}

func newThing(ctx context.Context, state *durable.State, _ *durable.Env) (*thing, error) {
	_, err := state.Storage().SQL().Exec(
		"CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, n INTEGER, v TEXT)")
	return &thing{state: state}, err
}

// kv puts a value, gets it back, and returns the number of values, at most ten.
func (o *thing) kv(_ context.Context, value string) (int64, error) {
	kv := o.state.Storage().KV()
	key := "v" + value
	if err := kv.Put(key, value); err != nil {
		return 0, err
	}
	got, _, err := kv.Get(key)
	if err != nil {
		return 0, err
	}
	n := int64(0)
	for _, err := range kv.List(&durable.ListOptions{Prefix: "v", Limit: 10}) {
		if err != nil {
			return 0, err
		}
		n++
	}
	if got != value {
		n = -1
	}
	return n, nil
}

func (o *thing) insert(_ context.Context, value string) (int64, error) {
	n, err := strconv.Atoi(value)
	if err != nil {
		return 0, err
	}
	rows, err := o.state.Storage().SQL().Exec("INSERT INTO t (n, v) VALUES (?, ?) RETURNING n", n,
		"a value of forty characters, more or less")
	if err != nil {
		return 0, err
	}
	return durable.One[int64](rows)
}

// Seed fills the table of the object for scans.
const Seed = "INSERT INTO t (n, v) WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 " +
	"FROM c WHERE i < 10000) SELECT i, 'value ' || i FROM c WHERE (SELECT count(*) FROM t) = 0"

// scan reads 10,000 rows and returns the sum of a column.
func (o *thing) scan(_ context.Context, value string) (sum int64, err error) {
	sql := o.state.Storage().SQL()
	if value == "seed" {
		if _, err := sql.Exec(Seed); err != nil {
			return 0, err
		}
	}
	rows, err := sql.Exec("SELECT id, n, v FROM t")
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var id, n int64
	var v string
	for rows.Next() {
		if err := rows.Scan(&id, &n, &v); err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, rows.Err()
}

// ring sets an alarm for now and waits until it is delivered.
func (o *thing) ring(ctx context.Context, _ string) (int64, error) {
	if o.rang == nil {
		o.rang = make(chan struct{})
	}
	rang := o.rang
	if err := o.state.Storage().SetAlarm(ctx, time.Now(), nil); err != nil {
		return 0, err
	}
	select {
	case <-rang:
		return 1, nil
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

func (o *thing) Alarm(context.Context, durable.AlarmInfo) error {
	if o.rang != nil {
		close(o.rang)
		o.rang = nil
	}
	return nil
}

// Fetch answers a request for a WebSocket.
func (o *thing) Fetch(ctx context.Context, _ *durable.Request) (*durable.Response, error) {
	client, server, err := durable.NewWebSocketPair(ctx)
	if err != nil {
		return nil, err
	}
	if err := o.state.AcceptWebSocket(server); err != nil {
		return nil, err
	}
	return &durable.Response{WebSocket: client}, nil
}

func (o *thing) WebSocketMessage(
	_ context.Context, ws *durable.WebSocket, m durable.Message,
) error {
	return ws.Send(m)
}
