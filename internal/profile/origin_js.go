package profile

import "github.com/coder/websocket"

// origin is nil, because a browser sets the header itself.
func origin() *websocket.DialOptions { return nil }
