package wrangler

import "fmt"

// lifecycle is what the config says of a class that is live: Cloudflare creates a namespace for it, and expects the code to have it.
type lifecycle struct {
	storage string // "sqlite", "legacy-kv", or "" where another Worker decided
	origin  string // which entry made it live, for messages
}

// lifecycles returns the live classes: what the migrations leave once all are applied, and what exports declares.
func (c *Config) lifecycles() map[string]lifecycle {
	live := map[string]lifecycle{}
	for _, m := range c.Migrations {
		m.apply(live)
	}
	for name, e := range c.durableExports() {
		if e.isLive() {
			live[name] = lifecycle{e.Storage, "exports"}
		}
	}
	return live
}

// apply takes the steps in wrangler's order: deleted, renamed, new.
func (m *Migration) apply(live map[string]lifecycle) {
	origin := fmt.Sprintf("migration %q", m.Tag)
	for _, name := range m.DeletedClasses {
		delete(live, name)
	}
	for _, r := range m.RenamedClasses {
		storage := live[r.From].storage
		delete(live, r.From)
		live[r.To] = lifecycle{storage, origin}
	}
	for _, t := range m.TransferredClasses {
		live[t.To] = lifecycle{"", origin}
	}
	for _, name := range m.NewClasses {
		live[name] = lifecycle{"legacy-kv", origin}
	}
	for _, name := range m.NewSQLiteClasses {
		live[name] = lifecycle{"sqlite", origin}
	}
}

// durableExports are the exports that are Durable Object classes; others are entry points and workflows.
func (c *Config) durableExports() map[string]Export {
	classes := map[string]Export{}
	for name, e := range c.Exports {
		if e.Type == "durable-object" {
			classes[name] = e
		}
	}
	return classes
}

func (e Export) isLive() bool {
	return e.State == "" || e.State == "created" || e.State == "expecting-transfer"
}
