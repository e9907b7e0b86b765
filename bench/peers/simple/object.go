//go:build js

package main

import (
	"encoding/json"
	"errors"
	"syscall/js"
)

type object struct {
	role    string
	storage js.Value
	state   js.Value
	rang    chan struct{}
}

// record is the JSON that an object stores for its key.
type record struct {
	Owner   string `json:"owner"`
	Fence   int64  `json:"fence"`
	Until   int64  `json:"until"`
	Expires int64  `json:"expires"`
	Result  string `json:"result"`
}

func (o *object) serve(_ js.Value, args []js.Value) (any, error) {
	if pathOf(args[0]) == "/ws" {
		pair := js.Global().Get("WebSocketPair").New()
		o.state.Call("acceptWebSocket", pair.Get("1"))
		return js.Global().Get("Response").New(nil,
			map[string]any{"status": 101, "webSocket": pair.Get("0")}), nil
	}
	f, path, err := read(args[0])
	if err != nil {
		return nil, err
	}
	serve := map[string]func(fields) (fields, error){
		"/put_if_absent": o.putIfAbsent, "/claim": o.claim,
		"/complete": o.complete, "/next": o.next,
		"/kv": o.kv, "/insert": o.insert, "/scan": o.scan, "/ring": o.ring,
	}[path]
	return respond(serve(f))
}

func (o *object) alarm() error {
	if o.role == "Thing" {
		close(o.rang)
		o.rang = nil
		return nil
	}
	_, err := await(o.storage.Call("deleteAll"))
	return err
}

func (o *object) load(key string, v any) error {
	text, err := await(o.storage.Call("get", key))
	if err != nil || text.IsUndefined() {
		return err
	}
	return json.Unmarshal([]byte(text.String()), v)
}

func (o *object) save(key string, v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		_, err = await(o.storage.Call("put", key, string(b)))
	}
	return err
}

func (o *object) setAlarm(at int64) error {
	_, err := await(o.storage.Call("setAlarm", float64(at)))
	return err
}

func (o *object) putIfAbsent(f fields) (fields, error) {
	var r record
	if err := o.load("record", &r); err != nil {
		return f, err
	}
	inserted := r.Expires <= now() || r.Owner == f.Owner
	if !inserted {
		return fields{Inserted: &inserted}, nil
	}
	r = record{Owner: f.Owner, Expires: now() + f.TTL*1000}
	return fields{Inserted: &inserted}, errors.Join(o.save("record", r), o.setAlarm(r.Expires))
}

func (o *object) claim(f fields) (fields, error) {
	var r record
	if err := o.load("record", &r); err != nil {
		return f, err
	}
	if r.Result != "" || r.Until > now() && r.Owner != f.Owner {
		return fields{Fence: r.Fence}, nil
	}
	r = record{Owner: f.Owner, Fence: r.Fence + 1, Until: now() + 60_000,
		Expires: now() + f.TTL*1000}
	return fields{Fence: r.Fence}, errors.Join(o.save("record", r), o.setAlarm(r.Expires))
}

func (o *object) complete(f fields) (fields, error) {
	var r record
	if err := o.load("record", &r); err != nil {
		return f, err
	}
	if r.Fence != f.Fence {
		return f, errors.New("fenced")
	}
	r.Result = f.Value
	return fields{}, o.save("record", r)
}

func (o *object) next(f fields) (fields, error) {
	var known, n int64
	if err := o.load("k"+f.Key, &known); err != nil || known != 0 {
		return fields{N: known}, err
	}
	if err := o.load("n", &n); err != nil {
		return f, err
	}
	n++
	err := errors.Join(o.save("n", n), o.save("k"+f.Key, n))
	if err == nil && n == 1 {
		err = o.setAlarm(now() + f.TTL*1000)
	}
	return fields{N: n}, err
}

func (o *object) kv(f fields) (fields, error) {
	if _, err := await(o.storage.Call("put", "v"+f.Value, f.Value)); err != nil {
		return f, err
	}
	got, err := await(o.storage.Call("get", "v"+f.Value))
	if err != nil || got.String() != f.Value {
		return fields{N: -1}, err
	}
	list, err := await(o.storage.Call("list", map[string]any{"prefix": "v", "limit": 10}))
	if err != nil {
		return f, err
	}
	return fields{N: int64(list.Get("size").Int())}, nil
}

func (o *object) insert(f fields) (fields, error) {
	cursor := o.storage.Get("sql").Call("exec", "INSERT INTO t (n, v) VALUES (?, ?) RETURNING n",
		f.Value, "a value of forty characters, more or less")
	return fields{N: int64(cursor.Call("one").Get("n").Int())}, nil
}

const seed = "INSERT INTO t (n, v) WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 " +
	"FROM c WHERE i < 10000) SELECT i, 'value ' || i FROM c WHERE (SELECT count(*) FROM t) = 0"

func (o *object) scan(f fields) (fields, error) {
	sql := o.storage.Get("sql")
	if f.Value == "seed" {
		sql.Call("exec", seed)
	}
	sum, rows := int64(0), sql.Call("exec", "SELECT id, n, v FROM t")
	for {
		row := rows.Call("next")
		if row.Get("done").Bool() {
			return fields{N: sum}, nil
		}
		sum += int64(row.Get("value").Get("n").Int())
	}
}

func (o *object) ring(fields) (fields, error) {
	if o.rang == nil {
		o.rang = make(chan struct{})
	}
	rang := o.rang
	if err := o.setAlarm(now()); err != nil {
		return fields{}, err
	}
	<-rang
	return fields{N: 1}, nil
}
