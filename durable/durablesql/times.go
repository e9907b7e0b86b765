package durablesql

import (
	"database/sql/driver"
	"strings"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/internal/sqltext"
)

// time returns the time that text in column i is, or the text.
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

// findTimes finds out which columns are times. workerd tells a column's name
// only; where that comes from is in the query, and in the views that it uses.
func (r *rows) findTimes() error {
	declared, err := r.conn.declaredTimes()
	if err != nil {
		return err
	}
	names := sqltext.Names(r.query)
	views, err := r.conn.views()
	if err != nil {
		return err
	}
	for _, v := range views {
		if sqltext.Mentions(r.query, v.Name) {
			for name, sources := range sqltext.Names(v.SQL) {
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

// isTime reports whether a column is one that is declared to be a time, by
// another name or its own, wherever it comes from.
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

// declaredTimes returns the names, in lower case, that only columns have that
// are declared to be times.
func (c *connector) declaredTimes() (map[string]bool, error) {
	list, err := all[string](c, `SELECT lower(c.name) FROM sqlite_master t, pragma_table_info(t.name) c
		WHERE t.type = 'table' AND substr(t.name, 1, 4) <> '_cf_'
		GROUP BY 1 HAVING min(c.type LIKE 'DATETIME%' OR c.type LIKE 'TIMESTAMP%' OR c.type LIKE 'DATE')`)
	names := map[string]bool{}
	for _, name := range list {
		names[name] = true
	}
	return names, err
}

type view struct{ Name, SQL string }

func (c *connector) views() ([]view, error) {
	return all[view](c, "SELECT name, sql FROM sqlite_master WHERE type = 'view'")
}

func all[T any](c *connector, query string) (list []T, err error) {
	storage, err := c.storage()
	if err != nil {
		return nil, err
	}
	cursor, err := storage.SQL().Exec(query)
	if err != nil {
		return nil, err
	}
	for v, err := range durable.All[T](cursor) {
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}
