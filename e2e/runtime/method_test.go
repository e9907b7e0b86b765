//go:build !js

package runtime

import (
	"encoding/json"
	"testing"
)

func TestMethodThatIsCalledWithStrangeValuesFailsAndTheProgramGoesOn(t *testing.T) {
	l := start(t)
	l.want("/?o=a&m=put&k=k&v=v", "")
	before := l.size()
	a := l.get("/strange?o=a")
	var errs []string
	if err := json.Unmarshal([]byte(a.body), &errs); err != nil || len(errs) != 11 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	for i, e := range errs {
		t.Log(e)
		if e == "" || e == "ok" && i != 8 && i != 9 { // no argument and null are no bytes
			t.Errorf("call %d: %q", i, e)
		}
	}
	after := l.size()
	if after.Encoded > before.Encoded || after.Calls > before.Calls {
		t.Errorf("before %+v, after %+v", before, after)
	}
	l.want("/?o=a&m=get&k=k", "v")
}
