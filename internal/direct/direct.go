// Package direct lets other packages of this module call an object's method
// with one crossing to JavaScript. Package durable sets its function.
package direct

import "context"

// Call calls an RPC method of the object with that name through a new stub.
// namespace is a *durable.Namespace. sent is false if the call certainly did
// not reach the object.
var Call func(
	ctx context.Context, namespace any, name, method string, args []byte,
) (result []byte, sent bool, err error)
