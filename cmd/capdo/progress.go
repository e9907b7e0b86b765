package main

import (
	"fmt"
	"os"
	"time"
)

// progress prints on f what is going on if it takes over two seconds, until
// done is called. On a terminal it updates one line; elsewhere it prints a line
// now and then.
func progress(f *os.File, what string) (done func()) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		count(f, what, stop)
	}()
	return func() {
		close(stop)
		<-stopped
	}
}

func count(f *os.File, what string, stop <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	terminal := isTerminal(f)
	for seconds := 1; ; seconds++ {
		select {
		case <-tick.C:
		case <-stop:
			if terminal && seconds > 2 {
				fmt.Fprint(f, "\r\033[K")
			}
			return
		}
		switch {
		case seconds < 2:
		case terminal:
			fmt.Fprintf(f, "\r%s: %d s", what, seconds)
		case seconds == 2 || seconds%10 == 0:
			fmt.Fprintf(f, "%s: %d s\n", what, seconds)
		}
	}
}

// isTerminal reports whether f is a terminal with control sequences, and the
// user wants them.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" &&
		os.Getenv("TERM") != "dumb"
}
