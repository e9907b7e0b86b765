//go:build !js

package jsrt

func call(*Ref, string, bool, []any) (any, error) { return nil, errUnsupported }
func transact(*Ref, func() error) error           { return errUnsupported }
func (*op) take(*Context, pending) (any, error)   { return nil, errUnsupported }
func received(int32) []byte                       { return nil }
func release(*Context, int32)                     {}
func wake(*Context)                               {}
func discard(*Context, pending)                   {}
func setMark(*mark)                               {}
func marked() *mark                               { return nil }
func goroutine() uintptr                          { return 0 }
func panicError(any) error                        { return errUnsupported }
func (*Invocation) reply(any, error)              {}
func (*Invocation) done()                         {}

// Run fails, because there is no JavaScript.
func Run() error { return errUnsupported }
