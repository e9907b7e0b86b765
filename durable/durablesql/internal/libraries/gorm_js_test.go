package libraries

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablesql"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

type gormUser struct {
	ID        uint
	Name      string `gorm:"uniqueIndex;not null"`
	Age       *int
	Balance   int64 `gorm:"check:balance >= 0"`
	CreatedAt time.Time
	DeletedAt gorm.DeletedAt `gorm:"index"`
	Pets      []gormPet      `gorm:"foreignKey:OwnerID"`
}

type gormPet struct {
	ID      uint
	Name    string
	OwnerID uint
}

// gormUserLater is gormUser in the next version of the program.
type gormUserLater struct {
	gormUser
	Nick string `gorm:"default:none"`
}

func (gormUserLater) TableName() string { return "gorm_users" }

func TestGorm(t *testing.T) {
	withDB(t, func(ctx context.Context, _ *durable.State, std *sql.DB) {
		db := openGorm(t, std, &gorm.Config{}).WithContext(ctx)
		for range 2 {
			must(t, db.AutoMigrate(&gormUser{}, &gormPet{}))
		}
		age := 36
		ada := gormUser{Name: "Ada", Age: &age, Balance: 10, Pets: []gormPet{{Name: "Rex"}, {Name: "Tom"}}}
		must(t, db.Create(&ada).Error)
		must(t, db.CreateInBatches([]gormUser{{Name: "Bob"}, {Name: "Eve"}}, 1).Error)
		var got gormUser
		must(t, db.Preload("Pets").Where("name = ? AND created_at <= ?", "Ada", time.Now().Add(time.Hour)).First(&got).Error)
		if got.ID != ada.ID || *got.Age != 36 || len(got.Pets) != 2 || !got.CreatedAt.Equal(ada.CreatedAt) {
			t.Errorf("%+v, created %+v", got, ada)
		}
		if err := db.Create(&gormUser{Name: "Ada"}).Error; !errors.Is(err, durable.ErrConstraint) {
			t.Errorf("a name twice: %v", err)
		}
		if err := db.First(&gormUser{}, "name = ?", "Nobody").Error; !errors.Is(err, gorm.ErrRecordNotFound) {
			t.Errorf("an unknown name: %v", err)
		}
		failed := errors.New("failed")
		err := db.Transaction(func(tx *gorm.DB) error {
			must(t, tx.Model(&got).Update("balance", gorm.Expr("balance + ?", 5)).Error)
			return failed
		})
		var balance int64
		must(t, db.Model(&gormUser{}).Where("id = ?", ada.ID).Select("balance").Scan(&balance).Error)
		if err != failed || balance != 10 {
			t.Errorf("%v, balance %d", err, balance)
		}
		must(t, db.Where("name = ?", "Bob").Delete(&gormUser{}).Error)
		var n int64
		must(t, db.Model(&gormUser{}).Count(&n).Error)
		if n != 2 {
			t.Errorf("%d users", n)
		}
		must(t, db.AutoMigrate(&gormUserLater{}))
		var later gormUserLater
		must(t, db.First(&later, "name = ?", "Ada").Error)
		if later.Nick != "none" || !db.Migrator().HasColumn(&gormUserLater{}, "nick") || db.Migrator().HasTable("nope") {
			t.Errorf("%+v", later)
		}
	})
}

// gorm uses savepoints for nested transactions, and ignores the error when they
// are refused.
func TestGormNestedTransactions(t *testing.T) {
	withDB(t, func(ctx context.Context, _ *durable.State, std *sql.DB) {
		db := openGorm(t, std, &gorm.Config{}).WithContext(ctx)
		must(t, db.AutoMigrate(&gormPet{}))
		for _, c := range []struct{ inner, want error }{{nil, nil}, {errors.New("failed"), durablesql.ErrPartialRollback}} {
			err := db.Transaction(func(tx *gorm.DB) error {
				must(t, tx.Create(&gormPet{Name: "outer"}).Error)
				tx.Transaction(func(tx *gorm.DB) error {
					must(t, tx.Create(&gormPet{Name: "inner"}).Error)
					return c.inner
				})
				return nil
			})
			if !errors.Is(err, c.want) {
				t.Errorf("an inner transaction that ends with %v: %v", c.inner, err)
			}
		}
		var n int64
		must(t, db.Model(&gormPet{}).Count(&n).Error)
		if n != 2 {
			t.Errorf("%d pets", n)
		}
	})
}

func openGorm(t *testing.T, std *sql.DB, config *gorm.Config) *gorm.DB {
	t.Helper()
	config.Logger = logger.Discard
	db, err := gorm.Open(sqlite.New(sqlite.Config{Conn: std}), config)
	must(t, err)
	return db
}
