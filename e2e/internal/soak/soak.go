// Package soak shows how far a long test is.
package soak

import (
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
)

// Progress shows on stderr how much of d is over, until end is called.
func Progress(d time.Duration) (end func()) {
	bar := progressbar.NewOptions64(int64(d/time.Second), progressbar.OptionSetWriter(os.Stderr),
		progressbar.OptionSetDescription("soaking"), progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(500*time.Millisecond))
	begin, over, ended := time.Now(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			bar.Set64(int64(min(time.Since(begin), d) / time.Second))
			select {
			case <-tick.C:
			case <-over:
				return
			}
		}
	}()
	return func() {
		close(over)
		<-ended
		bar.Finish()
		os.Stderr.WriteString("\n")
	}
}
