package durablesql

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"flow.internal/capdo/durable"
)

func TestMigrationsAreReadAsGooseWritesThem(t *testing.T) {
	list, err := readMigrations(fstest.MapFS{
		"10_b.sql":       {Data: []byte("-- +goose Up\n-- +goose StatementBegin\ncreate table b (x);\n-- +goose StatementEnd\n-- +goose Down\ndrop table b;\n")},
		"9_a.sql":        {Data: []byte("\ufeff-- a comment\r\n-- +goose up\r\ncreate table a (x);\r\n\r\n")},
		"README.md":      {Data: []byte("not one")},
		"old/1_none.sql": {Data: []byte("neither")},
	})
	if err != nil || len(list) != 2 || list[0].Version != 9 || list[0].up != "create table a (x);" || list[1].Version != 10 || list[1].up != "create table b (x);" {
		t.Fatalf("%+v, %v", list, err)
	}
	if list[0].Checksum == list[1].Checksum || len(list[0].Checksum) != 32 {
		t.Errorf("checksums %s, %s", list[0].Checksum, list[1].Checksum)
	}
}

func TestFilesThatAreNoMigrationsAreRefused(t *testing.T) {
	const up = "-- +goose Up\nselect 1;\n"
	for name, c := range map[string]struct {
		files  map[string]string
		reason string
	}{
		"no files":              {map[string]string{"x.txt": up}, "no such file"},
		"no number":             {map[string]string{"create.sql": up}, "number"},
		"the number 0":          {map[string]string{"0_create.sql": up}, "number"},
		"no underscore":         {map[string]string{"1.sql": up}, "number"},
		"the same number twice": {map[string]string{"1_a.sql": up, "01_b.sql": up}, "has the same number as"},
		"no line":               {map[string]string{"1_a.sql": "select 1"}, "+goose Up"},
		"Down first":            {map[string]string{"1_a.sql": "-- +goose Down\n" + up}, "DOWN"},
		"Up twice":              {map[string]string{"1_a.sql": up + up}, "UP"},
		"no transaction":        {map[string]string{"1_a.sql": "-- +goose NO TRANSACTION\n" + up}, "NO TRANSACTION"},
		"environment":           {map[string]string{"1_a.sql": "-- +goose ENVSUB ON\n" + up}, "ENVSUB ON"},
	} {
		fsys := fstest.MapFS{}
		for name, text := range c.files {
			fsys[name] = &fstest.MapFile{Data: []byte(text)}
		}
		_, err := readMigrations(fsys)
		if err == nil || !strings.Contains(err.Error(), c.reason) || !errors.Is(err, ErrMigrationFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNativelyMigrateIsUnsupported(t *testing.T) {
	state := &durable.State{}
	err := Migrate(state, fstest.MapFS{"1_a.sql": {Data: []byte("-- +goose Up\nselect 1")}})
	if !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
	runtime.KeepAlive(state)
}
