package durable_test

import (
	"context"
	"strings"
	"testing"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

func namespace(t *testing.T) *durable.Namespace {
	t.Helper()
	ns, err := durabletest.Env(t, nil).Namespace("LAB")
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

func TestNameAlwaysGivesTheSameID(t *testing.T) {
	ns, seen := namespace(t), map[string]string{}
	for _, name := range []string{"a", "b", "", "\x00", "😀", strings.Repeat("long", 1000), "a"} {
		id, err := ns.IDFromName(name)
		if err != nil || len(id.String()) != 64 || strings.Trim(id.String(), "0123456789abcdef") != "" {
			t.Fatalf("%.10q: %v, %v", name, id, err)
		}
		if other, ok := seen[id.String()]; ok && other != name {
			t.Errorf("%.10q and %.10q have the same id", name, other)
		}
		seen[id.String()] = name
	}
	if len(seen) != 6 {
		t.Errorf("6 names have %d ids", len(seen))
	}
}

func TestUniqueIDsDiffer(t *testing.T) {
	ns, seen := namespace(t), map[string]bool{}
	for range 100 {
		id, err := ns.NewUniqueID(nil)
		if err != nil || seen[id.String()] {
			t.Fatalf("%v, %v", id, err)
		}
		seen[id.String()] = true
	}
	if id, err := ns.NewUniqueID(&durable.IDOptions{Jurisdiction: "eu"}); err == nil {
		t.Errorf("local workerd knows jurisdictions: %v", id)
	}
}

func TestIDOfANameLeadsToTheObjectOfThatName(t *testing.T) {
	ns := namespace(t)
	id, err := ns.IDFromName("a")
	if err != nil {
		t.Fatal(err)
	}
	stub, err := ns.Get(id, nil)
	if err != nil {
		t.Fatal(err)
	}
	through(stub).want(t, "", put("k", "v"))
	named(t, "a").want(t, "v", get("k"))
	named(t, "a").want(t, id.String(), objectID)
	named(t, "b").want(t, "", get("k"))
}

func objectID(_ context.Context, l *Lab) (string, error) {
	id, err := l.state.ID()
	if err != nil {
		return "", err
	}
	return id.String(), nil
}
