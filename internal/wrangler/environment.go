package wrangler

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// inherited are the keys that an environment inherits from the top level unless
// it sets them itself (tried with wrangler 4.164;
// https://developers.cloudflare.com/workers/wrangler/configuration/#inheritable-keys).
// An environment's name is the top level's name with the environment's
// appended. Other keys, such as bindings and vars, are not inherited.
var inherited = map[string]func(env, top *Config){
	"name": func(env, top *Config) {
		if top.Name != "" {
			env.Name = top.Name + "-" + env.Env
		}
	},
	"main":               func(env, top *Config) { env.Main = top.Main },
	"compatibility_date": func(env, top *Config) { env.CompatibilityDate = top.CompatibilityDate },
	"compatibility_flags": func(env, top *Config) {
		env.CompatibilityFlags = top.CompatibilityFlags
	},
	"build":      func(env, top *Config) { env.Build = top.Build },
	"migrations": func(env, top *Config) { env.Migrations = top.Migrations },
	"exports":    func(env, top *Config) { env.Exports = top.Exports },
	"triggers":   func(*Config, *Config) {}, // inherit copies it in raw
	"limits":     func(env, top *Config) { env.Limits = top.Limits },
}

// inherit adds inherited values to the environments.
func (c *Config) inherit() {
	raws, _ := c.raw["env"].(map[string]any)
	maps.DeleteFunc(c.Environments, func(_ string, env *Config) bool { return env == nil })
	for name, env := range c.Environments {
		env.Path, env.Env, env.positions, env.Environments = c.Path, name, c.positions, nil
		env.raw, _ = raws[name].(map[string]any)
		for _, key := range []string{"assets", "logfwdr", "triggers"} {
			if !env.sets(key) && c.raw[key] != nil {
				env.raw[key] = c.raw[key]
			}
		}
		for key, take := range inherited {
			if !env.sets(key) {
				take(env, c)
			}
		}
	}
}

// sets reports whether an environment sets a key itself.
func (c *Config) sets(key string) bool { return c.positions.has(joined("env", c.Env, key)) }

// Environment returns the environment with that name. For "" it returns the
// config itself.
func (c *Config) Environment(name string) (*Config, error) {
	if name == "" {
		return c, nil
	}
	if env := c.Environments[name]; env != nil {
		return env, nil
	}
	names := slices.Sorted(maps.Keys(c.Environments))
	if len(names) == 0 {
		return nil, fmt.Errorf("%s has no environment %q; it has no environments at all"+
			"\nhint: add env.%s to it",
			c.Path, name, name)
	}
	return nil, fmt.Errorf("%s has no environment %q\nhint: it has %s", c.Path, name,
		strings.Join(names, ", "))
}

// path returns the path of this environment's entry in the file. If the entry
// is inherited, it is the path at the top level. Parts are keys and indexes.
func (c *Config) path(parts ...any) string {
	path := joined(parts...)
	key, _, _ := strings.Cut(path, separator)
	if c.Env == "" || inherited[key] != nil && !c.sets(key) {
		return path
	}
	return join(joined("env", c.Env), path)
}
