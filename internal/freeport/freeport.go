// Package freeport finds ports for servers that tests start.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// A server binds its port some time after Get has chosen it, and again after a
// restart. The kernel gives outgoing connections only ports from
// net.ipv4.ip_local_port_range, which begins at 32768. This range ends below
// that, so no connection takes the port in between.
const (
	first = 12000
	last  = 29999
)

// Get returns a port of 127.0.0.1 that is free. While this process runs, no
// other call returns it, here or in another process.
func Get() (int, error) { return Range(1) }

// Range is Get for n ports that follow one another. It returns the first one.
func Range(n int) (int, error) {
	var err error
	for range 100 {
		port := first + rand.IntN(last-first+2-n)
		if err = take(port, n); err == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port: %w", err)
}

// take reserves the ports if all of them are free.
func take(port, n int) error {
	var taken []net.PacketConn
	for i := range n {
		r, err := reserve(port + i)
		if err != nil {
			for _, r := range taken {
				r.Close()
			}
			return err
		}
		taken = append(taken, r)
	}
	mu.Lock()
	defer mu.Unlock()
	reserved = append(reserved, taken...)
	return nil
}

// reserved are the reservations of this process. They end with the process.
var (
	mu       sync.Mutex
	reserved []net.PacketConn
)

// reserve reserves a port that is free. A listener on it would keep its server
// from binding it. So the reservation is a socket for UDP with the same number:
// only one process can have that, and no server that tests start uses UDP.
func reserve(port int) (net.PacketConn, error) {
	address := fmt.Sprintf("127.0.0.1:%d", port)
	r, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, l.Close()
}
