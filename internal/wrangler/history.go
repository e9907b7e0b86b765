package wrangler

import (
	"fmt"
	"regexp"
	"strconv"

	"flow.internal/capdo/internal/jsname"
)

// state is the state of a class in its life. A class that is not mentioned has
// none.
type state string

const (
	live        state = "live"
	pending     state = "pending" // another Worker is expected to hand it over
	deleted     state = "deleted"
	renamed     state = "renamed"
	transferred state = "transferred"
)

// lifecycle is the state of a class according to the config.
type lifecycle struct {
	state   state
	storage string // sqlite, legacyKV, or "" if another Worker decided
	entry   string // the entry that set the state, for messages
	path    string // the path of that entry
	to      string // the class or Worker that it was renamed or transferred to
}

func (l *lifecycle) isLive() bool { return l != nil && (l.state == live || l.state == pending) }

const (
	sqlite   = "sqlite"
	legacyKV = LegacyKV
)

// LegacyKV is the key-value storage of [Config.Storage].
const LegacyKV = "legacy-kv"

// Storage returns the storage of each class that is live after all migrations,
// or by exports.
func (c *Config) Storage() map[string]string {
	k := &checker{Config: c, classes: map[string]*lifecycle{}, registered: map[string]bool{}}
	k.replay()
	k.exports()
	storage := map[string]string{}
	for class, l := range k.classes {
		if l.isLive() {
			storage[class] = l.storage
		}
	}
	return storage
}

// Renames returns the classes that migrations or exports have renamed, each
// with its latest name.
func (c *Config) Renames() (renames []Rename) {
	k := &checker{Config: c, classes: map[string]*lifecycle{}, registered: map[string]bool{}}
	k.replay()
	k.exports()
	for _, class := range sortedKeys(k.classes) {
		to := k.classes[class]
		last := class
		for range k.classes { // a chain cannot be longer
			if to == nil || to.state != renamed {
				break
			}
			last = to.to
			to = k.classes[last]
		}
		if last != class && to.isLive() {
			renames = append(renames, Rename{class, last})
		}
	}
	return renames
}

var storageNames = map[string]string{sqlite: "SQLite storage", legacyKV: "key-value storage"}

// tags checks the migrations' tags. wrangler looks for the deployed tag and
// makes Cloudflare apply the migrations after it.
func (k *checker) tags() {
	seen := map[string]bool{}
	for i, m := range k.Migrations {
		at := k.path("migrations", i, "tag")
		switch {
		case m.Tag == "":
			k.add(Error, "migration-tag", at, fmt.Sprintf("migration %d has no tag", i+1),
				"give it a unique tag, such as "+k.nextTag())
		case seen[m.Tag]:
			k.add(Error, "duplicate-tag", at,
				fmt.Sprintf("the tag %q is taken by an earlier migration: "+
					"wrangler would not know which of them has been applied", m.Tag),
				"give it a unique tag, such as "+k.nextTag())
		case i > 0 && isBefore(m.Tag, k.Migrations[i-1].Tag):
			k.add(Warning, "tag-order", at,
				fmt.Sprintf("the tag %q comes after %q: migrations are applied in the order "+
					"of the file", m.Tag, k.Migrations[i-1].Tag),
				"add new migrations at the end, and never move one that has been deployed")
		}
		seen[m.Tag] = true
	}
}

var numbered = regexp.MustCompile(`^(.*?)([0-9]+)$`)

// isBefore reports whether two tags have the same text before their numbers,
// and a's number is smaller.
func isBefore(a, b string) bool {
	x, y := numbered.FindStringSubmatch(a), numbered.FindStringSubmatch(b)
	if x == nil || y == nil || x[1] != y[1] {
		return false
	}
	m, _ := strconv.Atoi(x[2])
	n, _ := strconv.Atoi(y[2])
	return m < n
}

// nextTag returns an unused tag, quoted.
func (k *checker) nextTag() string {
	if k.freeTag != "" {
		return k.freeTag
	}
	taken := map[string]bool{}
	for _, m := range k.Migrations {
		taken[m.Tag] = true
	}
	n := len(k.Migrations)
	for taken[fmt.Sprintf("v%d", n)] {
		n++
	}
	k.freeTag = strconv.Quote(fmt.Sprintf("v%d", n))
	return k.freeTag
}

// replay applies the migrations in order, and the steps of each in wrangler's
// order: deleted, renamed, transferred, new.
func (k *checker) replay() {
	for i, m := range k.Migrations {
		s := &migration{checker: k, entry: fmt.Sprintf("migration %q", m.Tag),
			seen: map[string]string{}, failed: map[string]bool{}}
		if m.Tag == "" {
			s.entry = fmt.Sprintf("migration %d", i+1)
		}
		for j, name := range m.DeletedClasses {
			s.leave(name, lifecycle{state: deleted}, "deletes",
				k.path("migrations", i, "deleted_classes", j))
		}
		for j, r := range m.RenamedClasses {
			s.rename(r, k.path("migrations", i, "renamed_classes", j))
		}
		for j, t := range m.TransferredClasses {
			s.transfer(t, k.path("migrations", i, "transferred_classes", j))
		}
		for j, name := range m.NewClasses {
			s.create(name, legacyKV, k.path("migrations", i, "new_classes", j))
		}
		for j, name := range m.NewSQLiteClasses {
			s.create(name, sqlite, k.path("migrations", i, "new_sqlite_classes", j))
		}
		s.twice()
	}
}

// migration is one step of the replay.
type migration struct {
	*checker
	entry   string
	seen    map[string]string // class → path where this migration first names it
	repeats []repeat
	failed  map[string]bool // paths for which a problem was already reported
}

type repeat struct{ class, first, second string }

func (s *migration) fail(rule, path, message, hint string) {
	s.add(Error, rule, path, message, hint)
	s.failed[path] = true
}

func (s *migration) name(class, path string) {
	if first, ok := s.seen[class]; ok {
		s.repeats = append(s.repeats, repeat{class, first, path})
		return
	}
	s.seen[class] = path
}

// leave ends a class and returns its storage.
func (s *migration) leave(class string, to lifecycle, verb, path string) string {
	s.name(class, path)
	was := s.classes[class]
	if !was.isLive() {
		s.fail("class-unknown", path, fmt.Sprintf("%s %s class %s, %s", s.entry, verb, class,
			whyUnknown(was)),
			"remove the step; but if a migration that created the class was removed from the "+
				"file, put it back")
		return ""
	}
	to.entry, to.path = s.entry, path
	s.classes[class] = &to
	return was.storage
}

func whyUnknown(was *lifecycle) string {
	switch {
	case was == nil:
		return "which no earlier migration creates"
	case was.state == renamed:
		return fmt.Sprintf("which %s has renamed to %s", was.entry, was.to)
	}
	return fmt.Sprintf("which %s has %s", was.entry, was.state)
}

// enter makes a class live.
func (s *migration) enter(class, storage, verb, path string) {
	s.name(class, path)
	s.className(class, path)
	if was := s.classes[class]; was.isLive() {
		s.fail("class-live", path,
			fmt.Sprintf("%s %s class %s, which has existed since %s", s.entry,
				verb, class, was.entry),
			"only one step can create a class: remove this step, "+
				"or delete the class in an earlier migration, which deletes its objects' data")
		return
	}
	s.classes[class] = &lifecycle{state: live, storage: storage, entry: s.entry, path: path}
}

func (s *migration) create(class, storage, path string) {
	if was := s.classes[class]; was.isLive() && was.storage != storage && was.storage != "" {
		s.name(class, path)
		s.fail("storage-switch", path,
			fmt.Sprintf("%s creates class %s with %s, but %s has given it %s, "+
				"which cannot be switched",
				s.entry, class, storageNames[storage], was.entry, storageNames[was.storage]),
			fmt.Sprintf("give the new class another name, such as %sSQL; "+
				"or delete %[1]s in an earlier migration, which deletes its objects' data", class))
		return
	}
	s.enter(class, storage, "creates", path)
	if storage == legacyKV && !s.failed[path] {
		s.kvStorage(class, path, "new_sqlite_classes")
	}
}

// kvStorage warns of storage that new accounts cannot have
// (https://developers.cloudflare.com/changelog/post/2026-07-09-restrict-new-kv-backed-namespaces/).
func (k *checker) kvStorage(class, path, instead string) {
	k.add(Warning, "kv-storage", path,
		fmt.Sprintf("class %s gets key-value storage: the Free plan does not have it, "+
			"and since 2026-07-09 an account without such a class cannot create one", class),
		fmt.Sprintf("use %s, unless the class was deployed like this: "+
			"its storage cannot be changed", instead))
}

func (s *migration) rename(r Rename, path string) {
	if r.From == "" || r.To == "" {
		s.fail("step-field", path,
			s.entry+" renames a class, but has no from or no to", "add both")
		return
	}
	if r.From == r.To {
		s.fail("class-live", path, fmt.Sprintf("%s renames class %s to itself", s.entry, r.From),
			"remove the step")
		return
	}
	storage := s.leave(r.From, lifecycle{state: renamed, to: r.To}, "renames", join(path, "from"))
	s.enter(r.To, storage, fmt.Sprintf("renames %s to", r.From), join(path, "to"))
}

func (s *migration) transfer(t Transfer, path string) {
	if t.From == "" || t.FromScript == "" || t.To == "" {
		s.fail("step-field", path,
			s.entry+" transfers a class, but lacks from, from_script or to",
			"add all three")
		return
	}
	if t.FromScript == s.Name {
		s.fail("transfer-from-self", join(path,
			"from_script"),
			fmt.Sprintf("%s transfers class %s from %s, which is this Worker itself",
				s.entry, t.From, t.FromScript),
			"within one Worker, use renamed_classes")
	}
	s.enter(t.To, "", fmt.Sprintf("transfers %s of %s to", t.From, t.FromScript), join(path, "to"))
}

// twice warns if one migration names a class more than once and wrangler
// accepts that.
func (s *migration) twice() {
	for _, r := range s.repeats {
		if s.failed[r.first] || s.failed[r.second] {
			continue
		}
		s.add(Warning, "class-twice", r.second,
			fmt.Sprintf("%s names class %s twice: Cloudflare does not document the order of "+
				"the steps in one migration", s.entry, r.class),
			"put the later step into a separate migration")
	}
}

func (k *checker) className(class, path string) {
	if !jsname.IsIdentifier(class) || jsname.IsReserved(class) {
		k.add(Error, "class-name", path, fmt.Sprintf("%q cannot be the name of a class", class),
			"use letters, digits, _ and $, without a digit at the beginning, "+
				"and no reserved word of JavaScript")
	}
}
