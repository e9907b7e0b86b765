package durable

import (
	"reflect"

	"flow.internal/capdo/internal/jsrt"
)

// FreeReference returns the number of the next JavaScript reference that an
// object of the database would get.
func FreeReference(db *SQL) int {
	v, err := db.storage.ref.Context().Host().Call("abortController")
	if err != nil {
		panic(err)
	}
	ref := v.(*jsrt.Ref)
	defer ref.Release()
	return int(reflect.ValueOf(ref).Elem().FieldByName("index").Int())
}
