package sleep

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestFor(t *testing.T) {
	for _, c := range []struct {
		d, ends time.Duration
		want    bool
		took    time.Duration
	}{
		{time.Minute, time.Hour, true, time.Minute},
		{time.Hour, time.Minute, false, time.Minute},
		{0, time.Minute, true, 0},
		{0, 0, false, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), c.ends)
			defer cancel()
			if got := For(ctx, c.d); got != c.want || time.Since(begin) != c.took {
				t.Errorf("%v of %v: %v after %v", c.d, c.ends, got, time.Since(begin))
			}
		})
	}
}
