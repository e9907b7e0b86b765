//go:build !js

package main

import (
	"context"
	"errors"
)

func callBelow(context.Context, *place, *Op) ([]string, error) { return nil, errors.ErrUnsupported }
