// Package wrangler reads the config of wrangler, Cloudflare's tool for Workers,
// and checks it against a Go program.
package wrangler

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
)

// Config is the part of a wrangler config that capdo reads
// (https://developers.cloudflare.com/workers/wrangler/configuration/): its top
// level, or one of its environments.
type Config struct {
	Path string // the file
	Env  string // the environment, or ""

	Name               string            `key:"name"`
	Main               string            `key:"main"` // relative to the config's folder
	CompatibilityDate  string            `key:"compatibility_date"`
	CompatibilityFlags []string          `key:"compatibility_flags"`
	Build              Build             `key:"build"`
	DurableObjects     DurableObjects    `key:"durable_objects"`
	Migrations         []Migration       `key:"migrations"`
	Exports            map[string]Export `key:"exports"`
	Limits             Limits            `key:"limits"`
	Vars               map[string]any    `key:"vars"`

	Environments map[string]*Config `key:"env"` // of the top level, with inherited values

	file      *file // of the whole config; nil for an environment
	positions *positions
	raw       map[string]any // the whole config or environment, as written
}

// Build is the user's own build step. wrangler runs it before it reads main.
type Build struct {
	Command string `key:"command"`
}

// DurableObjects holds the bindings of Durable Object namespaces, and the
// strategy for updating running objects.
type DurableObjects struct {
	Bindings           []Binding           `key:"bindings"`
	CodeUpdateStrategy *CodeUpdateStrategy `key:"code_update_strategy"`
}

// CodeUpdateStrategy determines when a running object starts to use newly
// deployed code.
type CodeUpdateStrategy struct {
	Mode     string  `key:"mode"`      // "immediate" or "deferred"
	MaxDelay float64 `key:"max_delay"` // in seconds
}

// Binding binds a namespace to a name in the Worker.
type Binding struct {
	Name        string `key:"name"`
	ClassName   string `key:"class_name"`
	ScriptName  string `key:"script_name"` // the Worker that has the class, if it is another Worker
	Environment string `key:"environment"` // of that Worker
}

// Migration is one step of the classes' history. Steps are applied in order.
// Tags identify them, so that each is applied once per deployment.
type Migration struct {
	Tag                string     `key:"tag"`
	NewClasses         []string   `key:"new_classes"`
	NewSQLiteClasses   []string   `key:"new_sqlite_classes"`
	RenamedClasses     []Rename   `key:"renamed_classes"`
	DeletedClasses     []string   `key:"deleted_classes"`
	TransferredClasses []Transfer `key:"transferred_classes"`
}

// Rename gives the objects of a class to another class of the same Worker.
type Rename struct {
	From string `key:"from"`
	To   string `key:"to"`
}

// Transfer takes over the objects of a class from another Worker.
type Transfer struct {
	From       string `key:"from"`
	FromScript string `key:"from_script"`
	To         string `key:"to"`
}

// Export declares the state of a class. Exports replace migrations.
type Export struct {
	Type string `key:"type"` // "durable-object", or another kind of export
	// "", "created" and "expecting-transfer" are live; "deleted", "renamed" and
	// "transferred" are gone
	State         string `key:"state"`
	Storage       string `key:"storage"` // "sqlite" or "legacy-kv"
	RenamedTo     string `key:"renamed_to"`
	TransferredTo string `key:"transferred_to"`
	TransferFrom  string `key:"transfer_from"`
}

// Limits are the Worker's own limits.
type Limits struct {
	CPUMs float64 `key:"cpu_ms"`
}

// Find returns the path of the config in a folder. It tries wrangler.json,
// wrangler.jsonc and wrangler.toml, in wrangler's own order.
func Find(dir string) (string, error) {
	for _, name := range []string{"wrangler.json", "wrangler.jsonc", "wrangler.toml"} {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("there is no wrangler config in %s"+
		"\nhint: create a wrangler.jsonc there, with name, \"main\": \"build/entry.mjs\", "+
		"compatibility_date, durable_objects and migrations", dir)
}

// Load reads a config with all its environments. Its errors contain file, line
// and column.
func Load(path string) (*Config, error) {
	f, err := readFile(path)
	if err != nil {
		return nil, err
	}
	c := &Config{Path: path, file: f}
	if c.raw, err = f.decode(); err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	c.positions = f.positions()
	var mismatch *mismatchError
	if err := assign("", reflect.ValueOf(c).Elem(), c.raw); errors.As(err, &mismatch) {
		return nil, fmt.Errorf("%s:%s: %w", path, c.positions.find(mismatch.path), err)
	}
	if n := len(c.Environments); n > maxEnvironments {
		return nil, fmt.Errorf("%s:%s: the config has %d environments; at most %d are possible"+
			"\nhint: split them into several configs", path, c.positions.find("env"),
			n, maxEnvironments)
	}
	c.inherit()
	return c, nil
}
