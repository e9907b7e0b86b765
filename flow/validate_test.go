//go:build !js

package flow

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// payments is a valid flow.
func payments() *Flow {
	return New("payments").
		Node("validate", Pure, Strict).
		Node("charge", Effectful, BestEffort, Idempotent("/id", "", 24*time.Hour), Requires(Dedupe, "processor"), Hints("effects:effectful")).
		Node("number", Effectful, Stable, Requires(Sequencer)).
		Edge("validate", "charge", ExactlyOnce).
		Edge("charge", "number", AtLeastOnce)
}

func codes(findings []Finding) (list []Code) {
	for _, f := range findings {
		list = append(list, f.Code)
	}
	return list
}

func TestAValidFlowHasNoFindings(t *testing.T) {
	if got := payments().Validate(); len(got) > 0 {
		t.Errorf("%v", got)
	}
	diamond := New("diamond").Node("a", Pure, Strict).Node("b", Pure, Strict).Node("c", Pure, Strict).
		Node("d", Effectful, Nondeterministic, Idempotent("/b/id", "s", MinTTL), Requires(Dedupe)).
		Edge("a", "b", AtLeastOnce).Edge("a", "c", AtLeastOnce).Edge("b", "d", AtMostOnce).Edge("c", "d", AtMostOnce)
	if got := diamond.Validate(); len(got) > 0 {
		t.Errorf("%v", got)
	}
}

func TestEachCodeIsFound(t *testing.T) {
	node := func(f *Flow, name string) *Node {
		return &f.Nodes[slices.IndexFunc(f.Nodes, func(n Node) bool { return n.Name == name })]
	}
	for _, c := range []struct {
		name   string
		change func(f *Flow)
		want   []Code
		node   string // node of the first problem
		edge   string
	}{
		{"a cycle", func(f *Flow) { f.Edge("number", "charge", ExactlyOnce) }, []Code{CodeCycle, CodeCycle}, "charge", ""},
		{"an edge to itself", func(f *Flow) { f.Edge("number", "number", AtLeastOnce) }, []Code{CodeCycle}, "number", ""},
		{"an edge to nowhere", func(f *Flow) { f.Edge("number", "mail", AtLeastOnce) }, []Code{CodeUnknownNode}, "", "number mail"},
		{"an edge from nowhere", func(f *Flow) { f.Edge("mail", "number", AtLeastOnce) }, []Code{CodeUnknownNode}, "", "mail number"},
		{"an edge twice", func(f *Flow) { f.Edge("charge", "number", ExactlyOnce) }, []Code{CodeDuplicateEdge}, "", "charge number"},
		{"a TTL without a key", func(f *Flow) { node(f, "number").Idempotency = &Idempotency{TTL: 1000} }, []Code{CodeScopeWithoutKey}, "number", ""},
		{"a scope without a key", func(f *Flow) { node(f, "number").Idempotency = &Idempotency{Scope: "s"} }, []Code{CodeScopeWithoutKey}, "number", ""},
		{"nothing", func(f *Flow) { f.Nodes, f.Edges = nil, nil }, []Code{CodeEmpty}, "", ""},
		{"a second entry", func(f *Flow) { f.Node("mail", Effectful, Stable) }, []Code{CodeUnreachable}, "mail", ""},
		{"a node twice", func(f *Flow) { f.Node("number", Pure, Strict) }, []Code{CodeDuplicateNode}, "number", ""},
		{"a flow without a name", func(f *Flow) { f.Name = "" }, []Code{CodeInvalidName}, "", ""},
		{"a node with a long name", func(f *Flow) {
			f.Node("m"+strings.Repeat("m", 64), Pure, Strict).Edge("number", "m"+strings.Repeat("m", 64), AtLeastOnce)
		}, []Code{CodeInvalidName}, strings.Repeat("m", 64) + "…", ""},
		{"a capability with a space", func(f *Flow) { node(f, "charge").Requires = []string{Dedupe, "kv: orders"} }, []Code{CodeInvalidName}, "charge", ""},
		{"mixed deliveries", func(f *Flow) { f.Edge("validate", "number", AtMostOnce) }, []Code{CodeMostNoDedupe, CodeMostNoKey, CodeMostShortTTL, CodeMixedDelivery}, "number", "validate number"},
		{"unknown effects", func(f *Flow) { node(f, "number").Effects = "none" }, []Code{CodeUnknownValue}, "number", ""},
		{"unknown determinism", func(f *Flow) { node(f, "number").Determinism = "" }, []Code{CodeUnknownValue}, "number", ""},
		{"an unknown hint", func(f *Flow) { node(f, "number").Hints = []string{"effects:none"} }, []Code{CodeUnknownValue}, "number", ""},
		{"an unknown delivery", func(f *Flow) { f.Edges[1].Delivery = "once" }, []Code{CodeUnknownValue}, "", "charge number"},
		{"a key that is no pointer", func(f *Flow) { node(f, "charge").Idempotency.Key = "id" }, []Code{CodeInvalidKey}, "charge", ""},
		{"a key with a bad escape", func(f *Flow) { node(f, "charge").Idempotency.Key = "/a~2" }, []Code{CodeInvalidKey}, "charge", ""},
		{"a long scope", func(f *Flow) { node(f, "charge").Idempotency.Scope = strings.Repeat("s", 257) }, []Code{CodeInvalidKey}, "charge", ""},
		{"an endless TTL", func(f *Flow) { node(f, "charge").Idempotency.TTL = 1 << 60 }, []Code{CodeInvalidTTL}, "charge", ""},
		{"too many nodes", func(f *Flow) { f.Nodes = make([]Node, MaxNodes+1) }, []Code{CodeTooLarge}, "", ""},
		{"too many edges", func(f *Flow) { f.Edges = make([]Edge, MaxEdges+1) }, []Code{CodeTooLarge}, "", ""},
		{"a key that no edge uses", func(f *Flow) { f.Edges[0].Delivery = AtLeastOnce }, []Code{CodeUnusedKey}, "charge", ""},
		{"exactly once without dedupe", func(f *Flow) { node(f, "charge").Requires = nil }, []Code{CodeExactNoDedupe}, "charge", "validate charge"},
		{"exactly once without a key", func(f *Flow) { node(f, "charge").Idempotency = nil }, []Code{CodeExactNoKey, CodeExactShortTTL}, "charge", "validate charge"},
		{"exactly once without a TTL", func(f *Flow) { node(f, "charge").Idempotency.TTL = 0 }, []Code{CodeExactShortTTL}, "charge", "validate charge"},
		{"exactly once for 299,999 ms", func(f *Flow) { node(f, "charge").Idempotency.TTL = 299_999 }, []Code{CodeExactShortTTL}, "charge", "validate charge"},
		{"exactly once for 300,000 ms", func(f *Flow) { node(f, "charge").Idempotency.TTL = 300_000 }, nil, "", ""},
		{"at most once without dedupe", func(f *Flow) { f.Edges[0].Delivery = AtMostOnce; node(f, "charge").Requires = nil }, []Code{CodeMostNoDedupe}, "charge", "validate charge"},
		{"at most once without a key", func(f *Flow) {
			f.Edges[0].Delivery = AtMostOnce
			node(f, "charge").Idempotency = &Idempotency{TTL: 300_000}
		}, []Code{CodeScopeWithoutKey, CodeMostNoKey}, "charge", ""},
		{"at most once for a second", func(f *Flow) { f.Edges[0].Delivery = AtMostOnce; node(f, "charge").Idempotency.TTL = 1000 }, []Code{CodeMostShortTTL}, "charge", "validate charge"},
		{"a hint of effects", func(f *Flow) { node(f, "validate").Hints = []string{"effects:read-only"} }, []Code{CodeEffectConflict}, "validate", ""},
		{"a hint of nondeterminism", func(f *Flow) { node(f, "number").Hints = []string{"determinism:nondeterministic"} }, []Code{CodeDetConflict}, "number", ""},
		{"hints that are weaker than declared", func(f *Flow) { node(f, "charge").Hints = []string{"determinism:strict", "effects:pure"} }, nil, "", ""},
		{"nondeterminism before exactly once", func(f *Flow) { node(f, "validate").Determinism = BestEffort }, []Code{CodeUnrepeatableInput}, "charge", ""},
		{"nondeterminism before at most once", func(f *Flow) { node(f, "validate").Determinism = BestEffort; f.Edges[0].Delivery = AtMostOnce }, nil, "", ""},
		// charge is best-effort, and runs exactly once.
		{"chance whose outcome is kept", func(f *Flow) {
			f.Edges[1].Delivery = ExactlyOnce
			*node(f, "number") = Node{"number", Effectful, Stable, &Idempotency{Key: "/id", TTL: 300_000}, nil, []string{Dedupe}}
		}, nil, "", ""},
		{"chance further before", func(f *Flow) {
			node(f, "validate").Determinism = Nondeterministic
			f.Edges[0] = Edge{"validate", "clean", AtLeastOnce}
			f.Node("clean", Pure, Strict).Edge("clean", "charge", ExactlyOnce)
		}, []Code{CodeUnrepeatableInput}, "charge", ""},
		{"exactly once behind at most once", func(f *Flow) {
			f.Edges[0].Delivery, f.Edges[1].Delivery = AtMostOnce, ExactlyOnce
			*node(f, "number") = Node{"number", Effectful, Stable, &Idempotency{Key: "/id", TTL: 300_000}, nil, []string{Dedupe}}
		}, []Code{CodeNotRepeated}, "number", ""},
		{"exactly once further behind at most once", func(f *Flow) {
			f.Edges[0].Delivery = AtMostOnce
			f.Edge("number", "mail", ExactlyOnce).Node("mail", Effectful, Stable, Idempotent("/id", "", MinTTL), Requires(Dedupe))
		}, []Code{CodeNotRepeated}, "mail", ""},
		{"at most once behind exactly once", func(f *Flow) {
			f.Edges[1].Delivery = AtMostOnce
			*node(f, "number") = Node{"number", Effectful, Stable, &Idempotency{Key: "/id", TTL: 300_000}, nil, []string{Dedupe}}
		}, nil, "", ""},
		{"a fingerprint that is no pointer", func(f *Flow) { node(f, "charge").Idempotency.Fingerprint = []string{"/amount", "id"} }, []Code{CodeInvalidKey}, "charge", ""},
		{"a fingerprint without a key", func(f *Flow) { f.Nodes[2].Idempotency = &Idempotency{Fingerprint: []string{"/id"}} }, []Code{CodeScopeWithoutKey}, "number", ""},
		{"a fingerprint", func(f *Flow) { node(f, "charge").Idempotency.Fingerprint = []string{"/amount", "/a/0"} }, nil, "", ""},
		{"several things at once", func(f *Flow) { f.Edge("number", "mail", "once").Node("", "", "") },
			[]Code{CodeInvalidName, CodeUnknownValue, CodeUnknownValue, CodeUnknownValue, CodeUnknownNode, CodeUnreachable}, "", ""},
	} {
		f := payments()
		c.change(f)
		got := f.Validate()
		if !reflect.DeepEqual(codes(got), c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
			continue
		}
		if len(got) == 0 {
			continue
		}
		edge := ""
		if got[0].Edge != nil {
			edge = got[0].Edge.From + " " + got[0].Edge.To
		}
		if got[0].Node != c.node || edge != c.edge && c.edge != "" || got[0].Message == "" || got[0].Hint == "" {
			t.Errorf("%s: %+v, edge %q; want node %q, edge %q", c.name, got[0], edge, c.node, c.edge)
		}
	}
}

func echo() Handler {
	return Handler{Run: func(_ context.Context, in json.RawMessage) (json.RawMessage, error) { return in, nil }}
}

func TestHandlersAreComparedWithTheirNodes(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(h map[string]Handler)
		want   []Code
	}{
		{"they fit", func(h map[string]Handler) {
			h["charge"] = Handler{Run: echo().Run, Effects: Effectful, Determinism: Strict}
		}, nil},
		{"one is missing", func(h map[string]Handler) { delete(h, "charge") }, []Code{CodeNoHandler}},
		{"one is left over", func(h map[string]Handler) { h["mail"] = echo() }, []Code{CodeHandlerOnly}},
		{"one does more", func(h map[string]Handler) { h["validate"] = Handler{Run: echo().Run, Effects: ReadOnly} }, []Code{CodeEffectConflict}},
		{"one is less deterministic", func(h map[string]Handler) { h["number"] = Handler{Run: echo().Run, Determinism: BestEffort} }, []Code{CodeDetConflict}},
		{"one has half of Keep and Restore", func(h map[string]Handler) {
			h["number"] = Handler{Run: echo().Run, Keep: func(out json.RawMessage) (json.RawMessage, error) { return out, nil }}
		}, []Code{CodeIncompleteRecovery}},
		{"one is not known", func(h map[string]Handler) {
			h["number"] = Handler{Run: echo().Run, Effects: "some", Determinism: "any"}
		}, []Code{CodeUnknownValue, CodeUnknownValue}},
	} {
		handlers := map[string]Handler{"validate": echo(), "charge": echo(), "number": echo()}
		c.change(handlers)
		_, err := Compile(payments(), handlers, nil)
		var invalid *InvalidError
		if errors.As(err, &invalid) != (c.want != nil) || invalid != nil && !reflect.DeepEqual(codes(invalid.Findings), c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := Compile(payments().Edge("a", "b", ExactlyOnce), nil, nil); err == nil || strings.Count(err.Error(), "hint: ") != 5 {
		t.Errorf("not everything at once: %v", err)
	}
}

func TestBuilderAndJSONSayTheSame(t *testing.T) {
	text, err := json.Marshal(payments())
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse(text)
	if err != nil || !reflect.DeepEqual(f, payments()) {
		t.Errorf("%s\nread back: %+v, %v", text, f, err)
	}
}

func TestParseIsStrict(t *testing.T) {
	for _, text := range []string{``, `{`, `null`, `[]`, `"a"`, `{"name":"a"} {}`, `{"name":"a"}]`, `{"name":"a","name":"b"}`, `{"Name":"a"}`, `{"nameſ":"a"}`,
		`{"edgeſ":[]}`, `{"name":7}`, `{"nodes":[{"name":"a","retries":3}]}`, `{"nodes":[{"idempotency":{"key":"/a","key":"/b"}}]}`, `{"nodes":[{"idempotency":{"ttl_ms":1.5}}]}`,
		`{"version":1}`, `{"name":"` + strings.Repeat("a", MaxFlowSize) + `"}`} {
		if f, err := Parse([]byte(text)); err == nil || f != nil {
			t.Errorf("%.60s: %+v, %v", text, f, err)
		}
	}
}

func FuzzParseAndValidate(f *testing.F) {
	text, _ := json.Marshal(payments())
	f.Add(string(text))
	f.Add(`{"name":"a","nodes":[{"name":"a"},{"name":"a"}],"edges":[{"from":"a","to":"a"},{"from":"b","to":"a","delivery":"exactly-once"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		flow, err := Parse([]byte(text))
		if err != nil {
			return
		}
		again, err := json.Marshal(flow)
		if err != nil {
			t.Fatal(err)
		}
		same, err := Parse(again)
		if err != nil || !reflect.DeepEqual(normal(same), normal(flow)) {
			t.Errorf("%s became %s: %v", text, again, err)
		}
		findings := flow.Validate()
		handlers := map[string]Handler{}
		for _, n := range flow.Nodes {
			handlers[n.Name] = echo()
		}
		p, err := Compile(flow, handlers, nil)
		if (err == nil) != (len(findings) == 0) || p != nil && len(p.steps) != len(flow.Nodes) {
			t.Errorf("%v, but %v", findings, err)
		}
		for _, finding := range findings {
			if _, known := kinds[finding.Code]; !known || len(finding.String()) > 2000 {
				t.Errorf("%v", finding)
			}
		}
	})
}

// normal has nil for what is empty: JSON does not tell them apart.
func normal(f *Flow) string {
	text, _ := json.Marshal(f)
	return string(text)
}
