// Package freeport finds ports for servers that tests start.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// A server takes its port some time after it was chosen, and again after a
// restart. Below this range's end the kernel gives no port to outgoing
// connections (net.ipv4.ip_local_port_range begins at 32768), so that nobody
// else takes it in between.
const (
	first = 12000
	last  = 29999
)

// Get returns a port of 127.0.0.1 that is free.
func Get() (int, error) {
	var err error
	for range 100 {
		port := first + rand.IntN(last-first+1)
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("no free port: %w", err)
}
