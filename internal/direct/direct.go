// Package direct lets the packages of this module call a method of an object in
// one crossing to JavaScript. Package durable provides it.
package direct

import "context"

// Call calls an RPC method of the object with that name, through a stub of its
// own. namespace is a *durable.Namespace. sent is false where the object cannot
// have been reached.
var Call func(ctx context.Context, namespace any, name, method string, args []byte) (result []byte, sent bool, err error)
