package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
	"flow.internal/capdo/durable/durabletest"
)

func TestMain(m *testing.M) {
	main() // registers; durable.Run returns at once in a test program
	m.Run()
}

// opened returns an auction that is open for an hour.
func opened(t *testing.T) *durable.Stub {
	t.Helper()
	auction := durabletest.New(t, "AUCTION")
	if _, err := durable.Call[any](t.Context(), auction, "open", time.Now().Add(time.Hour).Truncate(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	return auction
}

func bids(t *testing.T, auction *durable.Stub, bidder string, cents int64) error {
	_, err := durable.Call[Bid](t.Context(), auction, "bid", bidder, cents)
	return err
}

func TestABidHasToBeHigher(t *testing.T) {
	auction := opened(t)
	if err := bids(t, auction, "ada", 500); err != nil {
		t.Fatal(err)
	}
	err := bids(t, auction, "bob", 500)
	var e *durable.Error
	if !errors.Is(err, durable.ErrRemote) || !errors.As(err, &e) || e.Name != "TooLow" || e.Props["highest"] != 500.0 {
		t.Errorf("an equal bid: %v", err)
	}
	durabletest.Evict(t, auction)
	if err := bids(t, auction, "bob", 501); err != nil {
		t.Errorf("after an eviction: %v", err)
	}
	if b, err := durable.Call[Bid](t.Context(), auction, "highest"); b.Bidder != "bob" || b.Cents != 501 || b.N != 2 || err != nil {
		t.Errorf("highest is %+v, %v", b, err)
	}
}

func TestABidThatIsNoneLeavesNothing(t *testing.T) {
	auction := opened(t)
	if err := bids(t, auction, "ada", 0); err == nil {
		t.Error("a bid of 0 was accepted")
	}
	durabletest.Run(t, auction, func(ctx context.Context, state *durable.State) {
		rows, err := state.Storage().SQL().Exec("SELECT count(*) FROM bids")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := durable.One[int64](rows); n != 0 || err != nil {
			t.Errorf("%d bids, %v", n, err)
		}
	})
}

func TestTheAlarmCloses(t *testing.T) {
	auction := opened(t)
	if ran, err := durabletest.RunAlarm(t, auction); !ran || err != nil {
		t.Fatalf("alarm: %v, %v", ran, err)
	}
	var e *durable.Error
	if err := bids(t, auction, "ada", 1); !errors.As(err, &e) || e.Name != "Closed" {
		t.Errorf("a late bid: %v", err)
	}
}

func TestTheFourthWithdrawalIsRolledBack(t *testing.T) {
	auction := opened(t)
	for n := range int64(4) {
		if err := bids(t, auction, "ada", 100+n); err != nil {
			t.Fatal(err)
		}
		removed, err := durable.Call[int64](t.Context(), auction, "withdraw", "ada")
		if n < 3 && (removed != 1 || err != nil) || n == 3 && !errors.Is(err, durable.ErrRemote) {
			t.Errorf("withdrawal %d: %d, %v", n+1, removed, err)
		}
	}
	if b, err := durable.Call[Bid](t.Context(), auction, "highest"); b.Cents != 103 || err != nil {
		t.Errorf("after the fourth withdrawal the highest bid is %+v, %v", b, err)
	}
}

// over sends a request to the Worker.
func over(t *testing.T, method, path string) (status int, body string) {
	t.Helper()
	client := http.Client{Transport: durablehttp.Transport(durabletest.Worker(t))}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://worker"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(b))
}

func TestTheWorkerAnswers(t *testing.T) {
	tests := []struct {
		method, path string
		status       int
		body         string
	}{
		{"POST", "/auctions/lamp/bids?as=ada&cents=500", 409, "the auction is not open"},
		{"PUT", "/auctions/lamp?for=forever", 400, "for must be a duration"},
		{"PUT", "/auctions/lamp?for=10m", 200, `{"open":true}`},
		{"POST", "/auctions/lamp/bids?as=ada&cents=500", 200, `{"n":1,"bidder":"ada","cents":500,`},
		{"POST", "/auctions/lamp/bids?as=bob&cents=400", 409, "the bid is not the highest"},
		{"POST", "/auctions/lamp/bids?as=bob&cents=much", 400, "cents must be a whole number"},
		{"GET", "/auctions/lamp/bids", 200, `[{"n":1,"bidder":"ada"`},
		{"GET", "/auctions/lamp/live", 426, ""},
		{"GET", "/highest?auction=lamp&auction=vase", 200, `[{"n":1,"bidder":"ada"`},
	}
	for _, tt := range tests {
		if status, body := over(t, tt.method, tt.path); status != tt.status || !strings.HasPrefix(body, tt.body) {
			t.Errorf("%s %s: %d %s", tt.method, tt.path, status, body)
		}
	}
	_, body := over(t, "GET", "/highest?auction=lamp&auction=vase")
	var highest []Bid
	if err := json.Unmarshal([]byte(body), &highest); err != nil || len(highest) != 2 || highest[0].Cents != 500 || highest[1].Cents != 0 {
		t.Errorf("%s, %v", body, err)
	}
	tally := durabletest.Env(t, nil).Object("TALLY", "bids")
	for n := int64(0); n != 1; time.Sleep(10 * time.Millisecond) { // the Worker counts after its answer
		var err error
		if n, err = add.Call(t.Context(), tally, 0); n > 1 || err != nil {
			t.Fatalf("%d bids were counted, %v", n, err)
		}
	}
}

func TestWatchersGetBidsAfterEviction(t *testing.T) {
	auction := opened(t)
	conn, _, err := auction.DialWebSocket(t.Context(), "ws://auction/auctions/lamp/live?as=ada", nil)
	if err != nil {
		t.Fatal(err)
	}
	read := func(want string) {
		t.Helper()
		if m, err := conn.Read(t.Context()); err != nil || !strings.Contains(m.String(), want) {
			t.Errorf("got %q, %v; want %q", m, err, want)
		}
	}
	durabletest.Evict(t, auction)
	if err := conn.Write(t.Context(), durable.TextMessage(`{"bid":500}`)); err != nil {
		t.Fatal(err)
	}
	read(`"bidder":"ada","cents":500`)
	if err := conn.Write(t.Context(), durable.TextMessage(`{"bid":400}`)); err != nil {
		t.Fatal(err)
	}
	read("the bid is not the highest")
	if _, err := durabletest.RunAlarm(t, auction); err != nil {
		t.Fatal(err)
	}
	read(`{"cents":500,"sold_to":"ada"}`)
	if err := conn.Close(1000, ""); err != nil {
		t.Error(err)
	}
}

func TestBidsOutliveACrash(t *testing.T) {
	place := func(name string, cents int64) error {
		return bids(t, durabletest.Env(t, nil).Object("AUCTION", name), "ada", cents)
	}
	auction := durabletest.Env(t, nil).Object("AUCTION", "lamp")
	if _, err := durable.Call[any](t.Context(), auction, "open", time.Now().Add(time.Hour).Truncate(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if err := place("lamp", 500); err != nil {
		t.Fatal(err)
	}
	durabletest.Restart(t) // kills workerd; old handles no longer work
	if err := place("lamp", 500); !errors.Is(err, durable.ErrRemote) {
		t.Errorf("the earlier bid is lost: %v", err)
	}
	if err := place("lamp", 501); err != nil {
		t.Error(err)
	}
}

func TestRestoringIsCloudflares(t *testing.T) {
	auction := opened(t)
	if _, err := durable.Call[any](t.Context(), auction, "restore", time.Now().Add(-time.Hour).Truncate(time.Millisecond)); !errors.Is(err, durable.ErrRemote) {
		t.Errorf("local workerd now has point-in-time recovery, or fails in another way: %v", err)
	}
	if err := bids(t, auction, "ada", 500); err != nil {
		t.Errorf("after the refusal: %v", err)
	}
}
