package durable

import (
	"reflect"

	"flow.internal/capdo/internal/jsrt"
)

// FreeReference returns the number of the JavaScript reference that the
// database's object would get next.
func FreeReference(db *SQL) int {
	v, err := db.storage.ref.Context().Host().Call("abortController")
	if err != nil {
		panic(err)
	}
	ref := v.(*jsrt.Ref)
	defer ref.Release()
	return int(reflect.ValueOf(ref).Elem().FieldByName("index").Int())
}
