package libraries

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"entgo.io/ent/dialect/sql/schema"
	"entgo.io/ent/dialect/sql/sqlgraph"
	"entgo.io/ent/schema/field"
	"flow.internal/capdo/durable"
)

// Code that ent generates uses these packages: tables, migrations, a graph and
// queries.
var (
	entUserColumns = []*schema.Column{
		{Name: "id", Type: field.TypeInt, Increment: true},
		{Name: "name", Type: field.TypeString, Unique: true},
		{Name: "active", Type: field.TypeBool, Default: true},
		{Name: "created_at", Type: field.TypeTime},
	}
	entUsers = &schema.Table{Name: "users", Columns: entUserColumns, PrimaryKey: entUserColumns[:1]}

	entCarColumns = []*schema.Column{
		{Name: "id", Type: field.TypeInt, Increment: true},
		{Name: "model", Type: field.TypeString},
		{Name: "user_cars", Type: field.TypeInt, Nullable: true},
	}
	entCars = &schema.Table{Name: "cars", Columns: entCarColumns, PrimaryKey: entCarColumns[:1], ForeignKeys: []*schema.ForeignKey{
		{Symbol: "cars_users_cars", Columns: entCarColumns[2:], RefTable: entUsers, RefColumns: entUserColumns[:1], OnDelete: schema.SetNull},
	}}
)

func TestEnt(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	withDB(t, func(ctx context.Context, _ *durable.State, std *sql.DB) {
		drv := entsql.OpenDB(dialect.SQLite, std)
		migrate := func(tables ...*schema.Table) {
			m, err := schema.NewMigrate(drv)
			must(t, err)
			must(t, m.Create(ctx, tables...))
		}
		migrate(entUsers, entCars)
		migrate(entUsers, entCars)

		create := func(name string) (*sqlgraph.CreateSpec, error) {
			spec := sqlgraph.NewCreateSpec("users", sqlgraph.NewFieldSpec("id", field.TypeInt))
			spec.SetField("name", field.TypeString, name)
			spec.SetField("active", field.TypeBool, true)
			spec.SetField("created_at", field.TypeTime, at)
			return spec, sqlgraph.CreateNode(ctx, drv, spec)
		}
		ada, err := create("Ada")
		must(t, err)
		if ada.ID.Value != int64(1) {
			t.Errorf("id %v", ada.ID.Value)
		}
		if _, err := create("Ada"); !sqlgraph.IsUniqueConstraintError(err) {
			t.Errorf("a name twice: %v", err)
		}
		tx, err := drv.Tx(ctx)
		must(t, err)
		query, args := entsql.Dialect(dialect.SQLite).Insert("cars").Columns("model", "user_cars").Values("Tesla", 1).Values("Ford", 1).Query()
		must(t, tx.Exec(ctx, query, args, nil))
		must(t, tx.Commit())

		users, cars := entsql.Table("users").As("u"), entsql.Table("cars").As("c")
		query, args = entsql.Dialect(dialect.SQLite).Select(users.C("name"), users.C("created_at"), entsql.Count(cars.C("id"))).From(users).
			Join(cars).On(users.C("id"), cars.C("user_cars")).
			Where(entsql.And(entsql.EQ(users.C("active"), true), entsql.LT(users.C("created_at"), at.Add(time.Second)))).GroupBy(users.C("name")).Query()
		var rows entsql.Rows
		must(t, drv.Query(ctx, query, args, &rows))
		defer rows.Close()
		n := 0
		for ; rows.Next(); n++ {
			var (
				name    string
				created time.Time
				cars    int
			)
			if err := rows.Scan(&name, &created, &cars); err != nil || name != "Ada" || !created.Equal(at) || cars != 2 {
				t.Errorf("%s, %v, %d, %v", name, created, cars, err)
			}
		}
		if n != 1 || rows.Err() != nil {
			t.Errorf("%d rows, %v", n, rows.Err())
		}

		nick := &schema.Column{Name: "nick", Type: field.TypeString, Nullable: true} // the next version has this column
		migrate(&schema.Table{Name: "users", Columns: append(entUserColumns[:4:4], nick), PrimaryKey: entUserColumns[:1]}, entCars)
		_, err = std.ExecContext(ctx, "UPDATE users SET nick = 'a' WHERE id = 1")
		must(t, err)
	})
}
