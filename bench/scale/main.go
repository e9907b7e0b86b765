//go:build !js

// Scale simulates a ledger under loads that no local workerd takes: many
// objects, each served by one thread, with the times that were measured and the
// limits that Cloudflare documents. It prints the tables of docs/scale.md.
//
//	go run ./bench/scale [-only storm,hot] [-update]
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
)

func main() {
	only := flag.String("only", "", "names of the tables to print (default all)")
	write := flag.Bool("update", false, "instead write the tables into docs/scale.md")
	flag.Parse()
	if *write {
		if err := updateFile("docs/scale.md"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	names := strings.Split(*only, ",")
	for _, f := range all {
		if *only == "" || slices.Contains(names, f.name) {
			fmt.Printf("%s\n\n%s\n", f.name, f.make().Markdown())
		}
	}
}

func updateFile(path string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	page, err = update(page, tables())
	if err != nil {
		return err
	}
	return os.WriteFile(path, page, 0o644)
}
