//go:build !js

package durable_test

import (
	"errors"
	"fmt"
	"testing"

	"flow.internal/capdo/durable"
)

func Example() {
	durable.Register("Counter", NewCounter, durable.Method("increment", (*Counter).Increment))
	if err := durable.Run(); err != nil {
		fmt.Println(err)
	}
	// Output: capdo runs inside workerd only (GOOS=js GOARCH=wasm)
}

func TestNativelyRunSaysThatItIsUnsupported(t *testing.T) {
	if err := durable.Run(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Run: %v", err)
	}
}
