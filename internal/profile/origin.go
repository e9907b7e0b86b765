//go:build !js

package profile

import (
	"net/http"

	"github.com/coder/websocket"
)

// origin says where the program comes from: wrangler's inspector refuses those
// that do not.
func origin() *websocket.DialOptions {
	return &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {"http://127.0.0.1"}}}
}
