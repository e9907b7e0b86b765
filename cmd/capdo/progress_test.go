//go:build !js

package main

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgressSpeaksUpFromTwoSecondsOn(t *testing.T) {
	tests := []struct {
		after time.Duration
		want  string
	}{
		{1900 * time.Millisecond, ""},
		{2100 * time.Millisecond, "building app: 2 s\n"},
		{9 * time.Second, "building app: 2 s\n"},
		{21 * time.Second, "building app: 2 s\nbuilding app: 10 s\nbuilding app: 20 s\n"},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			f, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			done := progress(f, "building app")
			time.Sleep(tt.after)
			done()
			got, err := os.ReadFile(f.Name())
			if err != nil || string(got) != tt.want {
				t.Errorf("after %v: %q, %v; want %q", tt.after, got, err, tt.want)
			}
		})
	}
}
