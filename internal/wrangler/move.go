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
// reads as paths relative to the config's folder. * stands for any key or
// index. (Tried with wrangler 4.164. It joins some paths to the folder and
// resolves others, so absolute paths would not work.)
var paths = []string{
	"main", "base_dir", "tsconfig", "pages_build_output_dir", "assets.directory", "site.bucket",
	"site.entry-point",
	"text_blobs.*", "data_blobs.*", "wasm_modules.*", "d1_databases.*.migrations_dir",
	"containers.*.image", "containers.*.image_build_context", "alias.*",
}

// Moved returns the config for the folder dir, in its own format: relative
// paths lead to the same files as before, and the user's build steps are left
// out. If main is not "", it replaces the config's main. It does not do so if
// the config has a base_dir, because wrangler expects main to be in that
// folder.
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

// moveEntry replaces the entry at a path of keys in v, if there is one, and
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

// moved returns a path as seen from the other folder. It does not change a path
// to nothing: that may be the name of an image or a package.
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
