// Objects is the program of docs/objects.md: auctions, each in a Durable Object
// of its own, which show bids live.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
)

func main() {
	durable.Register("Auction", NewAuction,
		durable.Func[*Auction]("open", (*Auction).Open),
		durable.Func[*Auction]("bid", (*Auction).Bid),
		durable.Func[*Auction]("highest", (*Auction).Highest).Retryable(),
		durable.Func[*Auction]("withdraw", (*Auction).Withdraw),
		durable.Func[*Auction]("restore", (*Auction).Restore),
	)
	durable.Register("Tally", NewTally, durable.Implement(add, (*Tally).Add))
	durablehttp.Handle(routes())
	if err := durable.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Auction is one auction. An eviction loses its fields; its storage stays.
type Auction struct {
	state *durable.State
	pages *http.ServeMux
}

// NewAuction is called before the first event of each instance, also after an
// eviction from memory.
func NewAuction(ctx context.Context, state *durable.State, env *durable.Env) (*Auction, error) {
	a := &Auction{state: state, pages: http.NewServeMux()}
	a.pages.HandleFunc("GET /auctions/{name}/bids", a.list)
	a.pages.HandleFunc("GET /auctions/{name}/live", a.live)
	_, err := state.Storage().SQL().Exec(`CREATE TABLE IF NOT EXISTS bids (
		n INTEGER PRIMARY KEY, bidder TEXT NOT NULL, cents INTEGER NOT NULL CHECK (cents > 0), at TEXT NOT NULL)`)
	return a, err
}

// Bid is an offer.
type Bid struct {
	N      int64     `json:"n"`
	Bidder string    `json:"bidder"`
	Cents  int64     `json:"cents"`
	At     time.Time `json:"at"`
}

// Open opens the auction until the given time.
func (a *Auction) Open(ctx context.Context, until time.Time) error {
	if err := a.state.Storage().KV().Put("open", true); err != nil {
		return err
	}
	return a.state.Storage().SetAlarm(ctx, until, nil)
}

// Bid accepts a bid that is higher than all earlier bids.
func (a *Auction) Bid(ctx context.Context, bidder string, cents int64) (Bid, error) {
	bid := Bid{Bidder: bidder, Cents: cents, At: time.Now().Truncate(time.Millisecond)}
	storage := a.state.Storage()
	err := storage.TransactionSync(func() error {
		open, _, err := durable.Get[bool](storage.KV(), "open")
		if err != nil {
			return err
		}
		if !open {
			return &durable.Error{Name: "Closed", Message: "the auction is not open"}
		}
		highest, err := a.highest()
		if err != nil {
			return err
		}
		if cents <= highest.Cents {
			return &durable.Error{Name: "TooLow", Message: "the bid is not the highest", Props: map[string]any{"highest": float64(highest.Cents)}}
		}
		inserted, err := storage.SQL().Exec("INSERT INTO bids (bidder, cents, at) VALUES (?, ?, ?) RETURNING n", bid.Bidder, bid.Cents, bid.At)
		if err != nil {
			return err
		}
		bid.N, err = durable.One[int64](inserted)
		return err
	})
	if err != nil {
		return Bid{}, err
	}
	return bid, a.tell(bid)
}

// highest returns the highest bid, or a zero Bid if there is none.
func (a *Auction) highest() (Bid, error) {
	rows, err := a.state.Storage().SQL().Exec("SELECT n, bidder, cents, at FROM bids ORDER BY n DESC LIMIT 1")
	if err != nil {
		return Bid{}, err
	}
	bid, err := durable.One[Bid](rows)
	if errors.Is(err, durable.ErrNoRows) {
		return Bid{}, nil
	}
	return bid, err
}

// Highest returns the highest bid, for other objects and Workers.
func (a *Auction) Highest(ctx context.Context) (Bid, error) { return a.highest() }

// Withdraw removes a bidder's bids. An auction allows three withdrawals. Either
// all changes are made, or none.
func (a *Auction) Withdraw(ctx context.Context, bidder string) (removed int64, err error) {
	err = a.state.Storage().Transaction(ctx, func(txn *durable.Transaction) error {
		n, _, err := durable.GetAsync[int](ctx, txn, "withdrawals", nil) // 0 if there is none
		if err != nil {
			return err
		}
		if n >= 3 {
			return errors.New("no more than three withdrawals are allowed") // rolled back
		}
		rows, err := a.state.Storage().SQL().Exec("DELETE FROM bids WHERE bidder = ? RETURNING n", bidder)
		if err != nil {
			return err
		}
		for _, err := range durable.All[int64](rows) {
			if err != nil {
				return err
			}
			removed++
		}
		return txn.Put(ctx, "withdrawals", n+1, nil)
	})
	return removed, err
}

// Alarm closes the auction. It is delivered at least once, so it must be safe
// to run twice.
func (a *Auction) Alarm(ctx context.Context, info durable.AlarmInfo) error {
	if err := a.state.Storage().KV().Put("open", false); err != nil {
		return err
	}
	bid, err := a.highest()
	if err != nil {
		return err
	}
	return a.tell(map[string]any{"sold_to": bid.Bidder, "cents": bid.Cents})
}

// Restore restores the auction to a time within the last 30 days. It resets the
// instance, so the call fails with durable.ErrObjectReset.
func (a *Auction) Restore(ctx context.Context, at time.Time) error {
	storage := a.state.Storage()
	bookmark, err := storage.BookmarkForTime(ctx, at)
	if err != nil {
		return err
	}
	undo, err := storage.RestoreBookmark(ctx, bookmark)
	if err != nil {
		return err
	}
	fmt.Println("to undo this, restore the bookmark", undo) // logged, because the call cannot return it
	return a.state.Abort(ctx, "restored", nil)
}

// Fetch serves the pages of the auction.
func (a *Auction) Fetch(ctx context.Context, r *durable.Request) (*durable.Response, error) {
	return durablehttp.Serve(ctx, a.pages, r)
}

// list answers with all bids.
func (a *Auction) list(w http.ResponseWriter, r *http.Request) {
	rows, err := a.state.Storage().SQL().Exec("SELECT n, bidder, cents, at FROM bids ORDER BY n")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	bids := []Bid{}
	for bid, err := range durable.All[Bid](rows) { // a batch at a time
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		bids = append(bids, bid)
	}
	json.NewEncoder(w).Encode(bids)
}

// live answers with a WebSocket that receives new bids. The object may be
// evicted while nobody bids; the socket stays open.
func (a *Auction) live(w http.ResponseWriter, r *http.Request) {
	ws, err := durablehttp.AcceptWebSocket(w, r, a.state, "watcher")
	if err != nil {
		return // already answered
	}
	ws.SetAttachment(map[string]any{"name": r.URL.Query().Get("as")})
}

// WebSocketMessage is called for each message of a client, such as {"bid":500}.
// After an eviction it is called on a new Auction.
func (a *Auction) WebSocketMessage(ctx context.Context, ws *durable.WebSocket, m durable.Message) error {
	attachment, _, err := ws.Attachment()
	if err != nil {
		return err
	}
	var watcher struct {
		Name string `json:"name"`
	}
	if err := durable.Decode(attachment, &watcher); err != nil {
		return err
	}
	var offer struct{ Bid int64 }
	if err := json.Unmarshal(m.Data, &offer); err != nil {
		return ws.Close(1007, "a message is JSON")
	}
	if _, err := a.Bid(ctx, watcher.Name, offer.Bid); err != nil {
		return ws.Send(durable.TextMessage(err.Error()))
	}
	return nil
}

// tell sends a value as JSON to all clients.
func (a *Auction) tell(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	watchers, err := a.state.WebSockets("watcher")
	for _, ws := range watchers {
		ws.Send(durable.TextMessage(string(text))) // ignore a client that has disconnected
	}
	return err
}

// add is a method that the compiler type-checks at each call.
var add = durable.NewMethod[int64, int64]("add")

// Tally counts bids, in its own storage.
type Tally struct{ state *durable.State }

// NewTally makes a Tally.
func NewTally(ctx context.Context, state *durable.State, env *durable.Env) (*Tally, error) {
	return &Tally{state}, nil
}

// Add adds n to the count. It waits only for storage, and no other event is
// delivered during that time.
func (t *Tally) Add(ctx context.Context, n int64) (total int64, err error) {
	storage := t.state.Storage()
	total, _, err = durable.GetAsync[int64](ctx, storage, "total", nil)
	if err != nil {
		return 0, err
	}
	total += n
	return total, storage.Put(ctx, "total", total, nil)
}

// routes serves the requests of the Worker. It forwards those for one auction.
func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /auctions/{name}", open)
	mux.HandleFunc("POST /auctions/{name}/bids", bid)
	mux.HandleFunc("GET /highest", highest)
	mux.HandleFunc("GET /auctions/{name}/", forward)
	return mux
}

// open answers PUT /auctions/NAME?for=10m.
func open(w http.ResponseWriter, r *http.Request) {
	d, err := time.ParseDuration(r.URL.Query().Get("for"))
	if err != nil || d <= 0 {
		http.Error(w, "for must be a duration, such as 10m", http.StatusBadRequest)
		return
	}
	auction := durablehttp.Env(r).Object("AUCTION", r.PathValue("name"))
	_, err = durable.Call[any](r.Context(), auction, "open", time.Now().Add(d).Truncate(time.Millisecond))
	answer(w, map[string]bool{"open": true}, err)
}

// bid answers POST /auctions/NAME/bids?as=ada&cents=500.
func bid(w http.ResponseWriter, r *http.Request) {
	cents, err := strconv.ParseInt(r.URL.Query().Get("cents"), 10, 64)
	if err != nil {
		http.Error(w, "cents must be a whole number", http.StatusBadRequest)
		return
	}
	env := durablehttp.Env(r)
	auction := env.Object("AUCTION", r.PathValue("name"))
	made, err := durable.Call[Bid](r.Context(), auction, "bid", r.URL.Query().Get("as"), cents)
	if err != nil {
		answer(w, nil, err)
		return
	}
	durable.WaitUntil(r.Context(), func(ctx context.Context) { count(ctx, env) }) // after the answer
	answer(w, made, nil)
}

func count(ctx context.Context, env *durable.Env) {
	tally := env.Object("TALLY", "bids")
	if _, err := add.Call(ctx, tally, 1); err != nil {
		fmt.Fprintln(os.Stderr, "a bid was not counted:", err)
	}
}

// highest answers GET /highest?auction=a&auction=b. It asks all auctions at
// once.
func highest(w http.ResponseWriter, r *http.Request) {
	names := r.URL.Query()["auction"]
	bids, errs := make([]Bid, len(names)), make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			auction := durablehttp.Env(r).Object("AUCTION", name)
			bids[i], errs[i] = durable.Call[Bid](r.Context(), auction, "highest")
		})
	}
	wg.Wait()
	answer(w, bids, errors.Join(errs...))
}

// forward lets the auction answer the request, also with a WebSocket.
func forward(w http.ResponseWriter, r *http.Request) {
	auction := durablehttp.Env(r).Object("AUCTION", r.PathValue("name"))
	if err := durablehttp.Forward(w, r, auction); err != nil {
		answer(w, nil, err)
	}
}

// answer sends v as JSON, or the HTTP status for an error.
func answer(w http.ResponseWriter, v any, err error) {
	var e *durable.Error
	switch {
	case err == nil:
		json.NewEncoder(w).Encode(v)
	case errors.Is(err, durable.ErrRemote) && errors.As(err, &e) && (e.Name == "TooLow" || e.Name == "Closed"):
		http.Error(w, e.Message, http.StatusConflict)
	case errors.Is(err, durable.ErrOverloaded):
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many bids at once", http.StatusServiceUnavailable)
	case errors.Is(err, durable.ErrObjectReset), errors.Is(err, durable.ErrDisconnected):
		http.Error(w, "the outcome is unknown", http.StatusBadGateway)
	default:
		fmt.Fprintln(os.Stderr, err)
		http.Error(w, "failed", http.StatusInternalServerError)
	}
}
