package durablesql

import (
	"database/sql/driver"
	"strings"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/internal/sqltext"
)

// time returns text as a time, if it is one and column i is for times.
func (r *rows) time(i int, text string) (driver.Value, error) {
	t, ok := sqltext.ParseTime(text)
	if !ok {
		return text, nil
	}
	if r.isTime == nil {
		if err := r.findTimes(); err != nil {
			return nil, err
		}
	}
	if r.isTime[i] {
		return t, nil
	}
	return text, nil
}

// findTimes determines which columns are times. workerd only gives a column's
// name; the query, and the views that it uses, tell where the name comes from.
func (r *rows) findTimes() error {
	schema, err := r.conn.schema()
	if err != nil {
		return err
	}
	names := sqltext.Names(r.query)
	declared := map[string]bool{}
	for _, s := range schema {
		switch {
		case s.View == nil:
			declared[s.Name] = true
		case sqltext.Mentions(r.query, s.Name):
			for name, sources := range sqltext.Names(*s.View) {
				names[name] = append(names[name], sources...)
			}
		}
	}
	r.isTime = make([]bool, len(r.columns))
	for i, name := range r.Columns() {
		r.isTime[i] = isTime(strings.ToLower(name), names, declared, len(names))
	}
	return nil
}

// isTime reports whether all columns behind a name are declared as times.
func isTime(name string, names map[string][]string, declared map[string]bool, depth int) bool {
	sources, isAlias := names[name]
	if !isAlias {
		return declared[name] || declared[sqltext.Source(name)]
	}
	for _, source := range sources {
		isItself := source == name && declared[name]
		if !isItself && (source == "" || depth == 0 || !isTime(source, names, declared, depth-1)) {
			return false
		}
	}
	return true
}

// entry is a name, in lower case, whose columns are all declared as times; or a
// view and its statement.
type entry struct {
	Name string
	View *string
}

func (c *connector) schema() (list []entry, err error) {
	storage, err := c.storage()
	if err != nil {
		return nil, err
	}
	cursor, err := storage.SQL().Exec(`SELECT lower(c.name) AS name, NULL AS view FROM sqlite_master t, pragma_table_info(t.name) c
		WHERE t.type = 'table' AND substr(t.name, 1, 4) <> '_cf_'
		GROUP BY 1 HAVING min(c.type LIKE 'DATETIME%' OR c.type LIKE 'TIMESTAMP%' OR c.type LIKE 'DATE')
		UNION ALL SELECT name, sql FROM sqlite_master WHERE type = 'view'`)
	if err != nil {
		return nil, err
	}
	for v, err := range durable.All[entry](cursor) {
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}
