package durable_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
	"github.com/google/go-cmp/cmp"
)

// Ledger has methods with Go types.
type Ledger struct{ env *durable.Env }

func NewLedger(_ context.Context, _ *durable.State, env *durable.Env) (Ledger, error) {
	return Ledger{env}, nil
}

// payment has a field of every kind.
type payment struct {
	ID      string            `json:"id"`
	Amount  int64             `json:"amount"`
	Rate    float64           `json:"rate"`
	Paid    bool              `json:"paid"`
	At      time.Time         `json:"at"`
	Raw     []byte            `json:"raw"`
	Tags    []string          `json:"tags"`
	Labels  map[string]int    `json:"labels"`
	Parent  *payment          `json:"parent"`
	Ignored string            `json:"-"`
	Empty   map[string]string `json:"empty,omitempty"`
}

func (Ledger) Add(_ context.Context, a, b int64) (int64, error) { return a + b, nil }

func (Ledger) Echo(_ context.Context, p payment) (payment, error) { return p, nil }

func (Ledger) Note(_ context.Context, text *string) error {
	if text == nil {
		return errors.New("nothing to note")
	}
	return nil
}

func (Ledger) Decline(context.Context) (string, error) {
	return "", &durable.Error{Name: "Declined", Message: "no funds", Props: map[string]any{"code": 51.0, "retryable": true}}
}

func registerLedger() {
	var odd []durable.RPCMethod[Ledger]
	for _, name := range oddNames {
		odd = append(odd, durable.Func[Ledger](name, func(Ledger, context.Context) (string, error) { return name, nil }))
	}
	durable.Register("Ledger", NewLedger, append(odd, durable.Implement(find, Ledger.Find), durable.Implement(empty, Ledger.Empty), durable.Implement(refuse, Ledger.Refuse),
		durable.Func[Ledger]("add", Ledger.Add), durable.Func[Ledger]("echo", Ledger.Echo),
		durable.Func[Ledger]("note", Ledger.Note), durable.Func[Ledger]("decline", Ledger.Decline))...)
}

func TestTypedCallCarriesGoValues(t *testing.T) {
	stub := durabletest.New(t, "LEDGER")
	if n, err := durable.Call[int64](t.Context(), stub, "add", 1<<60, 1); n != 1<<60+1 || err != nil {
		t.Errorf("added: %d, %v", n, err)
	}
	want := payment{
		ID: "p1", Amount: 1 << 60, Rate: 0.1, Paid: true, At: time.UnixMilli(1_700_000_000_123), Raw: []byte{0, 1}, Tags: []string{"a", "b"},
		Labels: map[string]int{"x": 1}, Parent: &payment{ID: "p0", Raw: []byte{}, Tags: []string{}, Labels: map[string]int{}, At: time.UnixMilli(0)},
	}
	got, err := durable.Call[payment](t.Context(), stub, "echo", want)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if _, err := durable.Call[struct{}](t.Context(), stub, "note", "text"); err != nil {
		t.Errorf("a method without a result: %v", err)
	}
}

func TestTypedCallRefusesWhatDoesNotFit(t *testing.T) {
	stub := durabletest.New(t, "LEDGER")
	tests := []struct {
		name string
		call func() error
		text string
		is   error
	}{
		{"a string for a number", func() error { _, err := durable.Call[int](t.Context(), stub, "add", "1", 2); return err },
			"durable: a string does not fit Go's int64 unchanged (argument 1 of add)", durable.ErrRemote},
		{"a fraction for an integer", func() error { _, err := durable.Call[int](t.Context(), stub, "add", 0.5, 2); return err },
			"durable: a number does not fit Go's int64 unchanged (argument 1 of add)", durable.ErrRemote},
		{"a missing argument", func() error { _, err := durable.Call[int](t.Context(), stub, "add", 1); return err },
			"durable: null does not fit Go's int64 unchanged (argument 2 of add)", durable.ErrRemote},
		{"too many arguments", func() error { _, err := durable.Call[int](t.Context(), stub, "add", 1, 2, 3); return err },
			"durable: 3 arguments for a method that takes 2", durable.ErrRemote},
		{"a missing argument that may be nil", func() error { _, err := durable.Call[struct{}](t.Context(), stub, "note"); return err },
			"nothing to note", durable.ErrRemote},
		{"a result of another type", func() error { _, err := durable.Call[string](t.Context(), stub, "add", 1, 2); return err },
			"durable: a number does not fit Go's string unchanged (result of add)", durable.ErrValue},
		{"a result that is too large", func() error { _, err := durable.Call[int8](t.Context(), stub, "add", 100, 100); return err },
			"durable: a number does not fit Go's int8 unchanged (result of add)", durable.ErrValue},
		{"an argument without an equivalent", func() error { _, err := durable.Call[int](t.Context(), stub, "add", func() {}, 1); return err },
			"durable: Go's func() has no equivalent in JavaScript (argument 1 of add)", durable.ErrValue},
	}
	for _, tt := range tests {
		if err := tt.call(); err == nil || err.Error() != tt.text || !errors.Is(err, tt.is) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestTypedCallReturnsTheRemoteError(t *testing.T) {
	_, err := durable.Call[string](t.Context(), durabletest.New(t, "LEDGER"), "decline")
	var e *durable.Error
	if !errors.As(err, &e) || e.Name != "Declined" || e.Message != "no funds" || e.Props["code"] != 51.0 || e.Retryable || !errors.Is(err, durable.ErrRemote) {
		t.Errorf("%#v", err)
	}
}

func TestStubKnowsItsObject(t *testing.T) {
	ns, err := durabletest.Env(t, nil).Namespace("LEDGER")
	must(t, err)
	byName, err := ns.GetByName("a", &durable.StubOptions{LocationHint: durable.LocationWesternEurope, RoutingMode: durable.RoutingPrimaryOnly,
		Retry: &durable.RetryOptions{MaxRetries: 1, Timeout: time.Second}})
	must(t, err)
	id, err := byName.ID()
	must(t, err)
	want, err := ns.IDFromName("a")
	must(t, err)
	if !id.Equal(want) || id.Name() != "a" || id.Jurisdiction() != "" {
		t.Errorf("%v %q %q, want %v", id, id.Name(), id.Jurisdiction(), want)
	}
	again, err := ns.Get(id, nil) // the object's own id
	must(t, err)
	if n, err := durable.Call[int](t.Context(), again, "add", 1, 1); n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestIDsOfAnotherNamespaceAreRefused(t *testing.T) {
	env := durabletest.Env(t, nil)
	labs, err := env.Namespace("LAB")
	must(t, err)
	ledgers, err := env.Namespace("LEDGER")
	must(t, err)
	id, err := labs.IDFromName("a")
	must(t, err)
	if _, err := ledgers.Get(id, nil); !errors.Is(err, durable.ErrInvalidID) {
		t.Errorf("as an object: %v", err)
	}
	for _, text := range []string{id.String(), "", "zz", id.String() + "00"} {
		if _, err := ledgers.IDFromString(text); !errors.Is(err, durable.ErrInvalidID) {
			t.Errorf("%q: %v", text, err)
		}
	}
	same, err := labs.IDFromString(id.String())
	if err != nil || !same.Equal(id) || same.Equal(nil) {
		t.Errorf("%v, %v", same, err)
	}
}

func TestJurisdictionsAreRefusedLocally(t *testing.T) {
	ns, err := durabletest.Env(t, nil).Namespace("LAB")
	must(t, err)
	if _, err := ns.NewUniqueID(&durable.IDOptions{Jurisdiction: durable.JurisdictionEU}); !errors.Is(err, durable.ErrJurisdiction) {
		t.Errorf("an id: %v", err)
	}
	if _, err := ns.Jurisdiction(durable.JurisdictionEU); !errors.Is(err, durable.ErrJurisdiction) {
		t.Errorf("a namespace: %v", err)
	}
}

func TestStubOptionsAreBounded(t *testing.T) {
	ns, err := durabletest.Env(t, nil).Namespace("LAB")
	must(t, err)
	tests := []struct {
		retry durable.RetryOptions
		ok    bool
	}{
		{durable.RetryOptions{MaxRetries: 0}, true},
		{durable.RetryOptions{MaxRetries: 10}, true},
		{durable.RetryOptions{MaxRetries: 11}, false},
		{durable.RetryOptions{MaxRetries: -1}, false},
		{durable.RetryOptions{Timeout: 500 * time.Millisecond}, true},
		{durable.RetryOptions{Timeout: 499 * time.Millisecond}, false},
		{durable.RetryOptions{Timeout: time.Minute}, true},
		{durable.RetryOptions{Timeout: time.Minute + time.Millisecond}, false},
	}
	for _, tt := range tests {
		_, err := ns.GetByName("a", &durable.StubOptions{Retry: &tt.retry})
		if tt.ok && err != nil || !tt.ok && !errors.Is(err, durable.ErrLimit) {
			t.Errorf("%+v: %v", tt.retry, err)
		}
	}
}
