// Package freeport finds ports for servers that tests start.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// A server binds its port some time after Get has chosen it, and again after a
// restart. The kernel gives outgoing connections only ports from
// net.ipv4.ip_local_port_range, which begins at 32768. This range ends below
// that, so no connection takes the port in between.
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
