package wrangler

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// paths are the entries of a config, and of its environments, that wrangler
// takes for paths from the config's folder; * is any key or index. (Tried with
// wrangler 4.164, which joins some to the folder and resolves others, so that
// absolute paths would not do.)
var paths = []string{
	"main", "base_dir", "tsconfig", "pages_build_output_dir", "assets.directory", "site.bucket",
	"site.entry-point",
	"text_blobs.*", "data_blobs.*", "wasm_modules.*", "d1_databases.*.migrations_dir",
	"containers.*.image", "containers.*.image_build_context", "alias.*",
}

// Moved returns the config, in its own format, as it has to read in the folder
// dir, where relative paths lead to the same files. It lacks the user's build
// steps. main, if not "", takes the place of main; not so where the config has
// a base_dir, in which wrangler wants main to be.
func (c *Config) Moved(dir, main string) ([]byte, error) {
	config, err := c.file.decode()
	if err != nil {
		return nil, fmt.Errorf("%s:%w", c.Path, err)
	}
	from, err := filepath.Abs(filepath.Dir(c.Path))
	if err != nil {
		return nil, err
	}
	m := mover{from, dir, main}
	m.move(config)
	environments, _ := config["env"].(map[string]any)
	for _, e := range environments {
		if e, ok := e.(map[string]any); ok {
			m.move(e)
		}
	}
	if c.file.isTOML {
		return toml.Marshal(config)
	}
	return json.Marshal(config)
}

// mover moves configs from one folder to another; both are absolute.
type mover struct{ from, to, main string }

func (m mover) move(config map[string]any) {
	delete(config, "build")
	for _, p := range paths {
		m.moveEntry(config, strings.Split(p, "."))
	}
	if config["main"] != nil && config["base_dir"] == nil && m.main != "" {
		config["main"] = m.main
	}
}

// moveEntry replaces what is at a path of keys in v, if there is something, and
// returns v.
func (m mover) moveEntry(v any, keys []string) any {
	if len(keys) == 0 {
		return m.moved(v)
	}
	switch v := v.(type) {
	case map[string]any:
		for key := range v {
			if keys[0] == "*" || keys[0] == key {
				v[key] = m.moveEntry(v[key], keys[1:])
			}
		}
	case []any:
		for i := range v {
			if keys[0] == "*" || keys[0] == strconv.Itoa(i) {
				v[i] = m.moveEntry(v[i], keys[1:])
			}
		}
	}
	return v
}

// moved returns a path as it is from the other folder. What leads nowhere
// stays: it may be the name of an image or of a package.
func (m mover) moved(v any) any {
	path, ok := v.(string)
	if !ok || path == "" || filepath.IsAbs(path) {
		return v
	}
	file := filepath.Join(m.from, path)
	if _, err := os.Stat(file); err != nil {
		return v
	}
	if rel, err := filepath.Rel(m.to, file); err == nil {
		return filepath.ToSlash(rel)
	}
	return v
}
