package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"
)

// transaction writes inside a synchronous transaction and ends it as asked; what was written is the test's to look at.
func transaction(ctx context.Context, c *call) (string, error) {
	storage, kv := c.state.Storage(), c.kv()
	var after string
	err := func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				after = fmt.Sprint("panicked: ", p)
			}
		}()
		return storage.TransactionSync(func() error {
			if err := kv.Put("inside", "written"); err != nil {
				return err
			}
			switch c.Get("end") {
			case "error":
				return errors.New("rolled back")
			case "goexit": // as testing's FailNow does
				runtime.Goexit()
			case "panic":
				panic("in transaction")
			case "nested":
				inner := storage.TransactionSync(func() error {
					kv.Put("inner", "written")
					return errors.New("inner rolled back")
				})
				if inner == nil {
					return errors.New("the inner transaction did not fail")
				}
			case "print": // package os writes through js.Funcs, which enter Go below this call
				fmt.Println("printed in a transaction")
				slog.Info("logged in a transaction")
			case "garbage": // make Go's collector work inside the transaction
				for range 2000 {
					hogged = append(hogged, make([]byte, 10_000))
				}
				hogged = nil
			}
			return nil
		})
	}()
	v, _, _ := kv.Get("inside")
	inner, _, _ := kv.Get("inner")
	return fmt.Sprintf("err=%v inside=%v inner=%v %s", err, v, inner, after), nil
}

var hogged [][]byte

// parking gives a function that waits to a transaction, then lets it go on.
func parking(ctx context.Context, c *call) (string, error) {
	storage, kv := c.state.Storage(), c.kv()
	late := make(chan error, 1)
	gate := make(chan struct{})
	err := storage.TransactionSync(func() error {
		kv.Put("inside", "written")
		switch c.Get("on") {
		case "channel":
			<-gate
		case "sleep":
			time.Sleep(10 * time.Millisecond)
		case "io":
			_, err := storage.GetAlarm(ctx)
			if err != nil {
				late <- err
				return err
			}
		}
		late <- kv.Put("late", "written")
		return nil
	})
	close(gate)
	lateErr := <-late
	v, _, _ := kv.Get("inside")
	w, _, _ := kv.Get("late")
	return fmt.Sprintf("inside=%v late=%v lateErr=%v", v, w, errors.Is(lateErr, err)), err
}

// outsider runs a goroutine that wants to write while a transaction is open that is rolled back: its write must survive.
func outsider(ctx context.Context, c *call) (string, error) {
	storage, kv := c.state.Storage(), c.kv()
	start, written := make(chan struct{}), make(chan error)
	go func() {
		<-start
		written <- kv.Put("outside", "written")
	}()
	err := storage.TransactionSync(func() error {
		close(start)
		for range 100 {
			kv.Put("inside", "written")
			hogged = append(hogged, make([]byte, 100_000)) // gives the collector reason to let others run
		}
		hogged = nil
		return errors.New("rolled back")
	})
	if werr := <-written; werr != nil {
		return "", werr
	}
	in, _, _ := kv.Get("inside")
	out, _, _ := kv.Get("outside")
	return fmt.Sprintf("err=%v inside=%v outside=%v", err, in, out), nil
}
