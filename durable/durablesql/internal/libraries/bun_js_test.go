package libraries

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
)

type bunAuthor struct {
	bun.BaseModel `bun:"table:authors,alias:a"`

	ID        int64      `bun:",pk,autoincrement"`
	Name      string     `bun:",notnull,unique"`
	Active    bool       `bun:",notnull"`
	Tags      []string   `bun:",nullzero"`
	Born      time.Time  `bun:",nullzero"`
	CreatedAt time.Time  `bun:",nullzero,notnull,default:current_timestamp"`
	Books     []*bunBook `bun:"rel:has-many,join:id=author_id"`
}

type bunBook struct {
	bun.BaseModel `bun:"table:books,alias:b"`

	ID       int64 `bun:",pk,autoincrement"`
	AuthorID int64
	Title    string
}

func TestBun(t *testing.T) {
	born := time.Date(1815, 12, 10, 1, 2, 3, 4000, time.UTC)
	withDB(t, func(ctx context.Context, _ *durable.State, std *sql.DB) {
		db := bun.NewDB(std, sqlitedialect.New())
		for _, model := range []any{(*bunAuthor)(nil), (*bunBook)(nil)} {
			_, err := db.NewCreateTable().Model(model).IfNotExists().Exec(ctx)
			must(t, err)
		}
		ada := &bunAuthor{Name: "Ada", Active: true, Tags: []string{"a", "it's"}, Born: born}
		_, err := db.NewInsert().Model(ada).Exec(ctx)
		must(t, err)
		if ada.ID != 1 || time.Since(ada.CreatedAt).Abs() > time.Minute {
			t.Errorf("%+v", ada)
		}
		books := []*bunBook{{AuthorID: 1, Title: "Notes"}, {AuthorID: 1, Title: "Letters"}}
		_, err = db.NewInsert().Model(&books).Exec(ctx)
		must(t, err)
		_, err = db.NewInsert().Model(&bunAuthor{Name: "Ada"}).Exec(ctx)
		if !errors.Is(err, durable.ErrConstraint) {
			t.Errorf("a name twice: %v", err)
		}
		var got bunAuthor
		must(t, db.NewSelect().Model(&got).Relation("Books").Where("born < ? AND created_at <= current_timestamp", born.Add(time.Hour)).Scan(ctx))
		if got.Name != "Ada" || !got.Active || len(got.Books) != 2 || len(got.Tags) != 2 || got.Tags[1] != "it's" || !got.Born.Equal(born) {
			t.Errorf("%+v", got)
		}
		failed := errors.New("failed")
		err = db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			if _, err := tx.NewUpdate().Model(&got).Set("name = ?", "Eve").WherePK().Exec(ctx); err != nil {
				return err
			}
			return failed
		})
		if err != failed {
			t.Error(err)
		}
		var latest time.Time
		must(t, db.NewSelect().Model((*bunAuthor)(nil)).ColumnExpr("max(a.born)").Scan(ctx, &latest))
		n, err := db.NewSelect().Model((*bunAuthor)(nil)).Where("name = ?", "Ada").Count(ctx)
		if n != 1 || err != nil || !latest.Equal(born) {
			t.Errorf("%d, %v, %v", n, err, latest)
		}
	})
}
