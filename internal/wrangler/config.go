// Package wrangler reads the config of wrangler, Cloudflare's tool for Workers, and checks it against a Go program.
package wrangler

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/tailscale/hujson"
)

// Config is what capdo reads of a wrangler config (https://developers.cloudflare.com/workers/wrangler/configuration/): its top level, or
// one of its environments.
type Config struct {
	Path string `json:"-" toml:"-"` // the file
	Env  string `json:"-" toml:"-"` // the environment, or ""

	Name               string            `json:"name" toml:"name"`
	Main               string            `json:"main" toml:"main"` // relative to the config's folder
	CompatibilityDate  string            `json:"compatibility_date" toml:"compatibility_date"`
	CompatibilityFlags []string          `json:"compatibility_flags" toml:"compatibility_flags"`
	Build              Build             `json:"build" toml:"build"`
	DurableObjects     DurableObjects    `json:"durable_objects" toml:"durable_objects"`
	Migrations         []Migration       `json:"migrations" toml:"migrations"`
	Exports            map[string]Export `json:"exports" toml:"exports"`
	Limits             Limits            `json:"limits" toml:"limits"`
	Vars               map[string]any    `json:"vars" toml:"vars"`

	Environments map[string]*Config `json:"env" toml:"env"` // of the top level, with what they inherit

	positions positions
	raw       map[string]any // the whole config or environment, as it is written
}

// Build is the user's own build step, which wrangler runs before it reads main.
type Build struct {
	Command string `json:"command" toml:"command"`
}

// DurableObjects holds the bindings of Durable Object namespaces, and how objects change over to new code.
type DurableObjects struct {
	Bindings           []Binding           `json:"bindings" toml:"bindings"`
	CodeUpdateStrategy *CodeUpdateStrategy `json:"code_update_strategy" toml:"code_update_strategy"`
}

// CodeUpdateStrategy says when a running object changes over to newly deployed code.
type CodeUpdateStrategy struct {
	Mode     string  `json:"mode" toml:"mode"`           // "immediate" or "deferred"
	MaxDelay float64 `json:"max_delay" toml:"max_delay"` // in seconds
}

// Binding gives the Worker a namespace under a name.
type Binding struct {
	Name        string `json:"name" toml:"name"`
	ClassName   string `json:"class_name" toml:"class_name"`
	ScriptName  string `json:"script_name" toml:"script_name"` // the Worker that has the class, if it is another one
	Environment string `json:"environment" toml:"environment"` // of that Worker
}

// Migration is one step of the classes' history. Steps are applied in order, each once per deployment, told apart by their tags.
type Migration struct {
	Tag                string     `json:"tag" toml:"tag"`
	NewClasses         []string   `json:"new_classes" toml:"new_classes"`
	NewSQLiteClasses   []string   `json:"new_sqlite_classes" toml:"new_sqlite_classes"`
	RenamedClasses     []Rename   `json:"renamed_classes" toml:"renamed_classes"`
	DeletedClasses     []string   `json:"deleted_classes" toml:"deleted_classes"`
	TransferredClasses []Transfer `json:"transferred_classes" toml:"transferred_classes"`
}

// Rename gives the objects of a class to another class of the same Worker.
type Rename struct {
	From string `json:"from" toml:"from"`
	To   string `json:"to" toml:"to"`
}

// Transfer takes over the objects of a class of another Worker.
type Transfer struct {
	From       string `json:"from" toml:"from"`
	FromScript string `json:"from_script" toml:"from_script"`
	To         string `json:"to" toml:"to"`
}

// Export declares the state of a class; a map of them takes the place of migrations.
type Export struct {
	Type          string `json:"type" toml:"type"`       // "durable-object", or another kind of export
	State         string `json:"state" toml:"state"`     // "" and "created", "expecting-transfer": live; "deleted", "renamed", "transferred": gone
	Storage       string `json:"storage" toml:"storage"` // "sqlite" or "legacy-kv"
	RenamedTo     string `json:"renamed_to" toml:"renamed_to"`
	TransferredTo string `json:"transferred_to" toml:"transferred_to"`
	TransferFrom  string `json:"transfer_from" toml:"transfer_from"`
}

// Limits are the Worker's own limits.
type Limits struct {
	CPUMs float64 `json:"cpu_ms" toml:"cpu_ms"`
}

// Find returns the path of the config in a folder: wrangler.json, wrangler.jsonc or wrangler.toml, in the order in which wrangler
// itself looks for them.
func Find(dir string) (string, error) {
	for _, name := range []string{"wrangler.json", "wrangler.jsonc", "wrangler.toml"} {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("there is no wrangler config in %s\nhint: create a wrangler.jsonc there, with name, \"main\": \"build/entry.mjs\", compatibility_date, durable_objects and migrations", dir)
}

// Load reads a config with all its environments. An error in it names file, line and column.
func Load(path string) (*Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	decode, unmarshal, index := decodeJSON, unmarshalJSON, jsonPositions
	if filepath.Ext(path) == ".toml" {
		decode, unmarshal, index = decodeTOML, toml.Unmarshal, tomlPositions
	}
	c := &Config{Path: path, positions: index(b)}
	if err := decode(b, c); err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	if err := unmarshal(b, &c.raw); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c.inherit()
	return c, nil
}

// unmarshalJSON reads JSON with comments and trailing commas, and keeps numbers as they are written.
func unmarshalJSON(b []byte, v any) error {
	plain, err := hujson.Standardize(b)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(plain))
	d.UseNumber()
	return d.Decode(v)
}

// decodeTOML's error begins with line and column.
func decodeTOML(b []byte, c *Config) error {
	err := toml.Unmarshal(b, c)
	var decode *toml.DecodeError
	if !errors.As(err, &decode) {
		return err
	}
	line, column := decode.Position()
	message := strings.TrimPrefix(decode.Error(), "toml: ")
	if mismatch, ok := strings.CutPrefix(message, "cannot decode TOML "); ok {
		found, _, _ := strings.Cut(mismatch, " into ")
		message = wrongType(strings.Join(decode.Key(), "."), found)
	}
	return fmt.Errorf("%d:%d: %s", line, column, message)
}

// decodeJSON reads JSON with comments and trailing commas; its error begins with line and column.
func decodeJSON(b []byte, c *Config) error {
	plain, err := hujson.Standardize(b)
	if err != nil {
		var line, column int
		fmt.Sscanf(err.Error(), "hujson: line %d, column %d:", &line, &column)
		return fmt.Errorf("%d:%d: %w", line, column, errors.Unwrap(err))
	}
	err = json.Unmarshal(plain, c)
	var mismatch *json.UnmarshalTypeError
	if !errors.As(err, &mismatch) {
		return err
	}
	before := plain[:mismatch.Offset-1] // Standardize keeps every byte in its place
	line, column := 1+bytes.Count(before, []byte("\n")), len(before)-bytes.LastIndexByte(before, '\n')
	return fmt.Errorf("%d:%d: %s", line, column, wrongType(mismatch.Field, mismatch.Value))
}

func wrongType(key, found string) string {
	if key == "" {
		key = "the config"
	}
	message := fmt.Sprintf("%s cannot be of type %s", key, found)
	if found == "local date" {
		message += "\nhint: put the date in quotes"
	}
	return message
}
