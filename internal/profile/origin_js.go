package profile

import "github.com/coder/websocket"

// origin is the browser's affair.
func origin() *websocket.DialOptions { return nil }
