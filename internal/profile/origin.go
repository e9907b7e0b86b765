//go:build !js

package profile

import (
	"net/http"

	"github.com/coder/websocket"
)

// origin sets the header Origin. wrangler's inspector refuses programs that do
// not send it.
func origin() *websocket.DialOptions {
	return &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {"http://127.0.0.1"}}}
}
