package durable_test

import (
	"errors"
	"fmt"
	"time"

	"flow.internal/capdo/durable"
)

func ExampleSQL_Exec() {
	visit := func(db *durable.SQL, page string) (visits int64, err error) {
		c, err := db.Exec(`INSERT INTO pages (path, visits, last) VALUES (?, 1, ?)
			ON CONFLICT (path) DO UPDATE SET visits = visits + 1, last = excluded.last
			RETURNING visits`, page, time.Now())
		if err != nil {
			return 0, err
		}
		return durable.One[int64](c)
	}
	_, err := visit(new(durable.Storage).SQL(), "/")
	fmt.Println(errors.Is(err, errors.ErrUnsupported)) // natively
	// Output: true
}

func ExampleAll() {
	type Page struct {
		Path   string
		Visits int64
		Last   *time.Time `sql:"last_visit"` // nil for NULL
	}
	print := func(db *durable.SQL) error {
		c, err := db.Exec("SELECT path, visits, last AS last_visit FROM pages ORDER BY visits DESC")
		if err != nil {
			return err
		}
		for page, err := range durable.All[Page](c) { // reads in batches
			if err != nil {
				return err
			}
			fmt.Println(page.Path, page.Visits)
		}
		return nil
	}
	err := print(new(durable.Storage).SQL())
	fmt.Println(errors.Is(err, errors.ErrUnsupported)) // natively
	// Output: true
}

func ExampleOne() {
	type Page struct {
		Path   string
		Visits int64
	}
	busiest := func(db *durable.SQL) (Page, error) {
		c, err := db.Exec("SELECT path, visits FROM pages ORDER BY visits DESC LIMIT 1")
		if err != nil {
			return Page{}, err
		}
		return durable.One[Page](c) // ErrNoRows if there are no pages
	}
	_, err := busiest(new(durable.Storage).SQL())
	fmt.Println(errors.Is(err, errors.ErrUnsupported)) // natively
	// Output: true
}

func ExampleCursor() {
	sum := func(db *durable.SQL) (total int64, err error) {
		c, err := db.Exec("SELECT path, visits FROM pages")
		if err != nil {
			return 0, err
		}
		var path string
		var visits int64
		for c.Next() {
			if err := c.Scan(&path, &visits); err != nil {
				return 0, err
			}
			total += visits
		}
		return total, c.Err()
	}
	_, err := sum(new(durable.Storage).SQL())
	fmt.Println(errors.Is(err, errors.ErrUnsupported)) // natively
	// Output: true
}

func ExampleSQLError() {
	register := func(db *durable.SQL, email string) error {
		_, err := db.Exec("INSERT INTO users (email) VALUES (?)", email)
		var e *durable.SQLError
		if errors.As(err, &e) && e.Constraint == durable.ConstraintUnique {
			return errors.New("this address is taken")
		}
		return err
	}
	err := register(new(durable.Storage).SQL(), "ada@example.com")
	fmt.Println(errors.Is(err, errors.ErrUnsupported)) // natively
	// Output: true
}
