//go:build !js

package wrangler

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRenamesAreFollowedToTheEnd(t *testing.T) {
	tests := []struct {
		name, config string
		want         []Rename
	}{
		{"none", `{"migrations": [{"tag": "v1", "new_sqlite_classes": ["A"]}]}`, nil},
		{"two in a row", `{"migrations": [{"tag": "v1", "new_sqlite_classes": ["A", "X"]}, {"tag": "v2", "renamed_classes": [{"from": "A", "to": "B"}]},
			{"tag": "v3", "renamed_classes": [{"from": "B", "to": "C"}]}]}`, []Rename{{"A", "C"}, {"B", "C"}}},
		{"and back", `{"migrations": [{"tag": "v1", "new_sqlite_classes": ["A"]}, {"tag": "v2", "renamed_classes": [{"from": "A", "to": "B"}]},
			{"tag": "v3", "renamed_classes": [{"from": "B", "to": "A"}]}]}`, []Rename{{"B", "A"}}},
		{"then deleted", `{"migrations": [{"tag": "v1", "new_sqlite_classes": ["A"]}, {"tag": "v2", "renamed_classes": [{"from": "A", "to": "B"}]},
			{"tag": "v3", "deleted_classes": ["B"]}]}`, nil},
		{"in exports", `{"exports": {"A": {"type": "durable-object", "state": "renamed", "renamed_to": "B"}, "B": {"type": "durable-object", "storage": "sqlite"}}}`,
			[]Rename{{"A", "B"}}},
		{"in a circle", `{"exports": {"A": {"type": "durable-object", "state": "renamed", "renamed_to": "B"}, "B": {"type": "durable-object", "state": "renamed", "renamed_to": "A"}}}`, nil},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, load(t, "wrangler.json", tt.config).Renames()); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.name, diff)
		}
	}
}

func TestStorageIsTheHistorysInTheEnd(t *testing.T) {
	tests := []struct {
		name, config string
		want         map[string]string
	}{
		{"created", `{"migrations": [{"tag": "v1", "new_classes": ["A"], "new_sqlite_classes": ["B"]}]}`, map[string]string{"A": LegacyKV, "B": sqlite}},
		{"renamed", `{"migrations": [{"tag": "v1", "new_classes": ["A"]}, {"tag": "v2", "renamed_classes": [{"from": "A", "to": "B"}]}]}`, map[string]string{"B": LegacyKV}},
		{"deleted and created again", `{"migrations": [{"tag": "v1", "new_classes": ["A"]}, {"tag": "v2", "deleted_classes": ["A"]}, {"tag": "v3", "new_sqlite_classes": ["A"]}]}`,
			map[string]string{"A": sqlite}},
		{"a name that another class had", `{"migrations": [{"tag": "v1", "new_classes": ["A"]}, {"tag": "v2", "renamed_classes": [{"from": "A", "to": "B"}]}, {"tag": "v3", "new_sqlite_classes": ["A"]}]}`,
			map[string]string{"A": sqlite, "B": LegacyKV}},
		{"in exports", `{"exports": {"A": {"type": "durable-object", "storage": "legacy-kv"}}}`, map[string]string{"A": LegacyKV}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, load(t, "wrangler.json", tt.config).Storage()); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.name, diff)
		}
	}
}
