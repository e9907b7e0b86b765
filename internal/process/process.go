// Package process starts programs that end with this one, and keeps what they
// print.
package process

import (
	"os/exec"
	"runtime"
	"strings"
	"sync"
)

// Start starts a program. On Linux the kernel ends it with this one. The
// program gets a terminal's Ctrl-C too, unless it is in a group of its own.
//
// Once it runs, Start calls wait in another goroutine: wait must return when
// cmd.Wait has returned. After that, Start closes ended.
func Start(cmd *exec.Cmd, ownGroup bool, wait func()) (ended <-chan struct{}, err error) {
	cmd.SysProcAttr = endWithParent(ownGroup)
	started, over := make(chan error, 1), make(chan struct{})
	go func() {
		// The kernel ends the process with the thread that started it, so that
		// thread must live as long.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			wait()
		}
		close(over)
	}()
	return over, <-started
}

// Log is an output to keep. Its methods are safe for concurrent use.
type Log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// String returns what was written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
