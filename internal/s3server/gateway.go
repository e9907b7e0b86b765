//go:build ignore

// The program that Build compiles, in a module of its own.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

func main() {
	fmt.Fprintln(os.Stderr, serve(os.Args[1], os.Args[2]))
	os.Exit(1)
}

// serve serves the folders in dir as buckets. The options have the defaults of
// versitygw's own command.
func serve(address, dir string) error {
	if err := (meta.XattrMeta{}).Test(dir); err != nil {
		return err
	}
	objects, err := posix.New(dir, meta.XattrMeta{}, posix.PosixOpts{
		CopyObjectThreshold: 5 << 30,
	})
	if err != nil {
		return err
	}
	return embedgw.RunVersityGW(context.Background(), objects, &embedgw.Config{
		RootUserAccess:    os.Getenv("ROOT_ACCESS_KEY"),
		RootUserSecret:    os.Getenv("ROOT_SECRET_KEY"),
		Ports:             []string{address},
		KeepAlive:         true,
		Quiet:             true,
		MaxConnections:    250_000,
		MaxRequests:       100_000,
		MultipartMaxParts: 10_000,
	})
}
