package main

import (
	"net/http"
	"os"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupetest"
	"flow.internal/capdo/dedupe/ledgerapi"
	"flow.internal/capdo/durable/durablehttp"
	"flow.internal/capdo/durable/durabletest"
)

const token = "0123456789abcdef0123456789abcdef"

func TestMain(m *testing.M) {
	register(func(*http.Request) (*ledgerapi.Tokens, error) { return ledgerapi.ParseTokens("tenant:" + token) })
	os.Exit(m.Run())
}

// connect returns a client that runs in workerd, like a client in another
// Worker.
func connect(t *testing.T) *ledgerapi.Client {
	t.Helper()
	worker := &http.Client{Transport: durablehttp.Transport(durabletest.Worker(t))}
	c, err := ledgerapi.NewClient("http://ledger", token, &ledgerapi.ClientOptions{HTTPClient: worker})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClientInAWorkerIsALedger(t *testing.T) {
	dedupetest.TestLedger(t, func(t *testing.T) dedupe.Ledger { return connect(t) })
}

func TestAClaimOutlivesACrash(t *testing.T) {
	claim, err := connect(t).Claim(t.Context(), []byte("key"), dedupe.ClaimOptions{Lease: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	durabletest.Restart(t)
	again, err := connect(t).Claim(t.Context(), []byte("key"), dedupe.ClaimOptions{Owner: claim.Owner, Lease: time.Hour})
	if err != nil || again.Fence != claim.Fence {
		t.Errorf("%+v, and after the crash %+v, %v", claim, again, err)
	}
	if err := connect(t).Complete(t.Context(), claim, []byte("result")); err != nil {
		t.Error(err)
	}
}
