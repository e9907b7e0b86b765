package durable

import (
	"context"
	"time"

	"flow.internal/capdo/internal/direct"
	"flow.internal/capdo/internal/jsrt"
	"flow.internal/capdo/internal/plain"
)

// Namespace is a Durable Object namespace: the objects of one class, reached
// through a binding.
type Namespace struct {
	ref     *jsrt.Ref
	binding string
}

// Jurisdictions, for [Namespace.Jurisdiction] and [IDOptions].
//
// https://developers.cloudflare.com/durable-objects/reference/data-location/
const (
	JurisdictionEU          = "eu"
	JurisdictionFedRAMP     = "fedramp"
	JurisdictionFedRAMPHigh = "fedramp-high"
	JurisdictionUS          = "us"
)

// Jurisdiction returns the namespace of the objects that stay in a
// jurisdiction. Local workerd refuses every jurisdiction, with
// [ErrJurisdiction].
func (n *Namespace) Jurisdiction(jurisdiction string) (*Namespace, error) {
	v, err := n.ref.Call("jurisdiction", jurisdiction)
	if err != nil {
		return nil, classify(err)
	}
	return &Namespace{v.(*jsrt.Ref), n.binding + " in " + jurisdiction}, nil
}

// ID names one object of a namespace.
type ID struct {
	ref          *jsrt.Ref
	namespace    *Namespace // nil for an object's own
	text         string
	name         string
	jurisdiction string
}

// String returns the id as 64 hexadecimal digits, for [Namespace.IDFromString].
func (id *ID) String() string { return id.text }

// Name returns the name that the id was derived from, or "" for other ids. An
// object's own id has no name if the name exceeds [MaxNameSize].
func (id *ID) Name() string { return id.name }

// Jurisdiction returns the jurisdiction that the id is restricted to, or "" if
// there is none.
func (id *ID) Jurisdiction() string { return id.jurisdiction }

// Equal reports whether both ids name the same object.
func (id *ID) Equal(other *ID) bool { return other != nil && id.text == other.text }

// IDOptions restrict where a new object may live; nil means anywhere.
type IDOptions struct {
	Jurisdiction string // one of the constants
}

// NewUniqueID returns a new random id. Its object has no name: keep the id's
// text to reach it again.
func (n *Namespace) NewUniqueID(o *IDOptions) (*ID, error) {
	var args []any
	if o != nil && o.Jurisdiction != "" {
		args = append(args, map[string]any{"jurisdiction": o.Jurisdiction})
	}
	v, err := n.ref.Call("newUniqueId", args...)
	return newID(n, v, err)
}

// IDFromName derives an id from a name: the same name, of any length, always
// gives the same id.
func (n *Namespace) IDFromName(name string) (*ID, error) {
	v, err := n.ref.Call("idFromName", name)
	return newID(n, v, err)
}

// IDFromString parses the text of [ID.String]. It fails with [ErrInvalidID] for
// text that is not an id, or is an id of another namespace.
func (n *Namespace) IDFromString(text string) (*ID, error) {
	v, err := n.ref.Call("idFromString", text)
	return newID(n, v, err)
}

func newID(n *Namespace, v any, err error) (*ID, error) {
	if err != nil {
		return nil, classify(err)
	}
	id := &ID{ref: v.(*jsrt.Ref), namespace: n}
	v, err = id.ref.Context().Host().Call("id", id.ref)
	if err != nil {
		return nil, classify(err)
	}
	parts := v.([]any)
	id.text, _ = parts[0].(string)
	id.name, _ = parts[1].(string)
	id.jurisdiction, _ = parts[2].(string)
	return id, nil
}

// Location hints, for [StubOptions]: where an object is created on its first
// call, unless a jurisdiction restricts it.
//
// https://developers.cloudflare.com/durable-objects/reference/data-location/#provide-a-location-hint
const (
	LocationWesternNorthAmerica = "wnam"
	LocationEasternNorthAmerica = "enam"
	LocationSouthAmerica        = "sam"
	LocationWesternEurope       = "weur"
	LocationEasternEurope       = "eeur"
	LocationAsiaPacific         = "apac"
	LocationAsiaPacificNorth    = "apac-ne"
	LocationAsiaPacificSouth    = "apac-se"
	LocationOceania             = "oc"
	LocationAfrica              = "afr"
	LocationMiddleEast          = "me"
)

// RoutingPrimaryOnly sends calls to the primary instance only, never to a read
// replica.
const RoutingPrimaryOnly = "primary-only"

// StubOptions change how an object is reached; nil means the defaults.
type StubOptions struct {
	LocationHint string // one of the Location constants
	RoutingMode  string // "" or RoutingPrimaryOnly
	Retry        *RetryOptions
}

// RetryOptions bound workerd's own retries of a call that could not be
// delivered.
type RetryOptions struct {
	MaxRetries int // 0 to [MaxRetries]
	// [MinRetryTimeout] to [MaxRetryTimeout], in whole ms; 0 means the
	// default
	Timeout time.Duration
}

func (o *StubOptions) js() ([]any, error) {
	if o == nil {
		return nil, nil
	}
	m := map[string]any{}
	if o.LocationHint != "" {
		m["locationHint"] = o.LocationHint
	}
	if o.RoutingMode != "" {
		m["routingMode"] = o.RoutingMode
	}
	if r := o.Retry; r != nil {
		if r.MaxRetries < 0 || r.MaxRetries > MaxRetries {
			return nil, &LimitError{Limit: "retries", Max: MaxRetries, Actual: r.MaxRetries}
		}
		retry := map[string]any{"maxRetries": r.MaxRetries}
		if ms := r.Timeout.Milliseconds(); r.Timeout != 0 {
			if ms < MinRetryTimeout.Milliseconds() || r.Timeout > MaxRetryTimeout {
				return nil, &LimitError{Limit: "timeout of retries, in ms",
					Min: int(MinRetryTimeout.Milliseconds()),
					Max: int(MaxRetryTimeout.Milliseconds()), Actual: int(ms)}
			}
			retry["timeoutMs"] = ms
		}
		m["retry"] = retry
	}
	return []any{m}, nil
}

// Get returns a stub for the object with that id. The object is created on its
// first call. Get refuses an id of another namespace with [ErrInvalidID].
func (n *Namespace) Get(id *ID, o *StubOptions) (*Stub, error) {
	// workerd does not check ids that are objects
	if id.namespace == nil || id.namespace.binding != n.binding {
		own, err := n.IDFromString(id.text)
		if err != nil {
			return nil, err
		}
		id = own
	}
	return n.newStub("get", id.ref, o)
}

func init() {
	direct.Call = func(
		ctx context.Context, namespace any, name, method string, args []byte,
	) (result []byte, sent bool, err error) {
		n := namespace.(*Namespace)
		c := n.ref.Context()
		if !c.IsStateless() {
			return n.callByStub(ctx, name, method, args)
		}
		v, sent, err := c.Host().Send(ctx, "callByName", n.ref, name, plain.Argument(method), args)
		result, _ = v.([]byte)
		return result, sent, classify(err)
	}
}

// callByStub is for calls from an object. Those can be part of a cycle, which
// is reported with the id of the stub.
func (n *Namespace) callByStub(
	ctx context.Context, name, method string, args []byte,
) (result []byte, sent bool, err error) {
	stub, err := n.GetByName(name, nil)
	if err != nil {
		return nil, false, err
	}
	defer stub.Release()
	result, err = stub.Call(ctx, method, args)
	return result, true, err
}

// GetByName returns a stub for the object with that name, like Get of
// IDFromName.
func (n *Namespace) GetByName(name string, o *StubOptions) (*Stub, error) {
	return n.newStub("getByName", name, o)
}
