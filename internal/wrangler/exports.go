package wrangler

import (
	"fmt"
	"slices"
	"strings"
)

// exportState is the meaning of a state in exports, with the fields that it
// requires and allows.
type exportState struct {
	state     state
	must, may []string
}

var exportStates = map[string]exportState{
	"created":            {live, []string{"storage"}, []string{"container"}},
	"expecting-transfer": {pending, []string{"storage", "transfer_from"}, []string{"container"}},
	"deleted":            {deleted, nil, nil},
	"renamed":            {renamed, []string{"renamed_to"}, nil},
	"transferred":        {transferred, []string{"transferred_to"}, nil},
}

func (e Export) stateName() string {
	if e.State == "" {
		return "created"
	}
	return e.State
}

func (k *checker) oneKindOfLifecycle() {
	if len(k.durableExports()) > 0 && len(k.Migrations) > 0 {
		k.add(Error, "exports-and-migrations", k.path("exports"),
			"classes are declared both in migrations and in exports",
			"keep migrations; but if exports has been deployed, keep exports: "+
				"you cannot go back from exports to migrations")
	}
}

// durableExports returns the exports that are Durable Object classes. Others
// are entry points and workflows.
func (c *Config) durableExports() map[string]Export {
	classes := map[string]Export{}
	for name, e := range c.Exports {
		if e.Type == "durable-object" {
			classes[name] = e
		}
	}
	return classes
}

func (k *checker) exports() {
	for _, name := range sortedKeys(k.Exports) {
		switch e := k.Exports[name]; e.Type {
		case "durable-object":
			k.export(name, e)
		case "worker", "workflow":
		default:
			k.add(Error, "export-type", k.path("exports", name,
				"type"), fmt.Sprintf("the type of %s in exports is %q", name, e.Type),
				`set it to "durable-object" for a Durable Object class`)
		}
	}
}

func (k *checker) export(name string, e Export) {
	l := &lifecycle{state: live, storage: e.Storage, entry: "exports",
		path: k.path("exports", name), to: e.RenamedTo + e.TransferredTo}
	k.classes[name] = l
	s, ok := exportStates[e.stateName()]
	if !ok {
		k.add(Error, "export-state", k.path("exports", name,
			"state"), fmt.Sprintf("the state of %s in exports is %q", name, e.State),
			"possible states are "+strings.Join(sortedKeys(exportStates), ", "))
		return
	}
	l.state = s.state
	k.exportFields(name, e, s)
	k.notToSelf(name, "transfer_from", e.TransferFrom)
	k.notToSelf(name, "transferred_to", e.TransferredTo)
	if s.state == renamed && e.RenamedTo != "" {
		k.renameTarget(name, e.RenamedTo)
	}
	if l.isLive() {
		k.className(name, l.path)
		if e.Storage == legacyKV {
			k.kvStorage(name, k.path("exports", name, "storage"), `storage "sqlite"`)
		}
	}
}

// exportFields: an entry must have the fields that its state needs, and no
// others.
func (k *checker) exportFields(name string, e Export, s exportState) {
	values := map[string]string{"storage": e.Storage, "renamed_to": e.RenamedTo,
		"transferred_to": e.TransferredTo, "transfer_from": e.TransferFrom}
	for _, field := range s.must {
		path := k.path("exports", name, field)
		switch value := values[field]; {
		case field == "storage" && value != sqlite && value != legacyKV:
			k.add(Error, "export-storage", path,
				fmt.Sprintf("the storage of %s in exports is %q", name, value),
				`set it to "sqlite"; use "legacy-kv" only for a class that was created with key-value storage`)
		case value == "":
			k.add(Error, "export-field", path,
				fmt.Sprintf("%s in exports has no %s, which the state %s needs", name, field,
					e.stateName()), "add it")
		}
	}
	allowed := slices.Concat([]string{"type", "state"}, s.must, s.may)
	for _, field := range k.positions.keys(k.path("exports", name)) {
		if !slices.Contains(allowed, field) {
			k.add(Error, "export-field", k.path("exports", name,
				field), fmt.Sprintf("%s in exports has %s, which the state %s does not allow",
				name, field, e.stateName()),
				"it may have "+strings.Join(allowed, ", "))
		}
	}
}

// notToSelf: a transfer must be between two Workers.
func (k *checker) notToSelf(class, field, worker string) {
	if worker == k.Name && worker != "" {
		k.add(Error, "transfer-from-self", k.path("exports", class,
			field), fmt.Sprintf("the %s of %s in exports is %s, which is this Worker itself",
			field, class, worker),
			"within one Worker, use the state renamed")
	}
}

// renameTarget: objects can only be handed over to a live class in the same
// exports.
func (k *checker) renameTarget(class, to string) {
	target, ok := k.Exports[to]
	if to == class || !ok || target.Type != "durable-object" || target.stateName() != "created" {
		k.add(Error, "export-rename-target", k.path("exports", class,
			"renamed_to"),
			fmt.Sprintf("%s in exports is renamed to %s, which is not a live class in exports",
				class, to),
			fmt.Sprintf("add to exports: %q with type \"durable-object\" and the storage "+
				"that %s had", to, class))
	}
}
