//go:build !js

package runtime

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// twice runs a test twice, the second time with Go's collector always active.
func twice(t *testing.T, test func(t *testing.T, l *lab)) {
	t.Run("normal", func(t *testing.T) {
		t.Parallel()
		test(t, start(t))
	})
	t.Run("GOGC=1", func(t *testing.T) {
		t.Parallel()
		l := start(t)
		l.want("/?m=gcpercent&n=1", "")
		test(t, l)
	})
}

func TestStrangeValuesFailTheCall(t *testing.T) {
	t.Parallel()
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
		if e == "" || e == "ok" && i != 8 && i != 9 { // a missing argument and null are not bytes
			t.Errorf("call %d: %q", i, e)
		}
	}
	after := l.size()
	if after.Encoded > before.Encoded || after.Calls > before.Calls {
		t.Errorf("before %+v, after %+v", before, after)
	}
	l.want("/?o=a&m=get&k=k", "v")
}

func TestHolesOverwriteNothing(t *testing.T) {
	t.Parallel()
	twice(t, func(t *testing.T, l *lab) {
		l.want("/?m=canaries&n=3000", "")
		for range 20 {
			l.want("/holes?o=a&n=100", "100")
			l.want("/holes?o=a&n=5000", "5000")
		}
		l.wantError("/holes?o=a&n=10000000", "more than 2097152 values")
		l.want("/storeHoles?o=a&n=5000", "undefined")
		for range 20 {
			l.want("/?o=a&m=length&k=holes", "5000")
		}
		l.want("/?m=overwritten", "0")
	})
}

func TestKeyProtoIsOrdinary(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.want("/?o=a&m=proto", "[{__proto__ map[x:1]} {b w}] map[__proto__:x a:y]")
}

func TestValueThatCannotBeEncodedHoldsNothing(t *testing.T) {
	t.Parallel()
	l := start(t)
	use := func(n string) size {
		l.want("/unencodable?o=a&n="+n, "done")
		return l.size()
	}
	if before, after := use("10"), use("500"); after.Refs > before.Refs+5 || after.Encoded > before.Encoded {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

func TestReleasedHandleIsRefused(t *testing.T) {
	t.Parallel()
	l := start(t)
	if a := l.get("/?o=a&m=released"); !strings.Contains(a.body, "the Stub has been released; hint: ") {
		t.Errorf("%d %q", a.status, a.body)
	}
	l.want("/?o=a&m=ping", "pong")
}

func TestHandlesStayWhatTheyAre(t *testing.T) {
	t.Parallel()
	twice(t, func(t *testing.T, l *lab) {
		for i, a := range l.together("/?o=a&m=refs&n=300", "/?m=refs&n=300", "/?o=b&m=refs&n=300", "/?m=refs&n=300") {
			if a.body != "done" {
				t.Errorf("%d: %d %q", i, a.status, a.body)
			}
		}
	})
}

// A string of 30 million characters takes 30 MB, although its encoding could
// need 90 MB.
func TestLargeValuesTakeTheirSize(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/bigString", "/bigBytes"} {
		l := start(t)
		before := l.size().Memory
		l.want(path+"?o=a&n=30000000", "1")
		if grown := l.size().Memory - before; grown > 40<<20 {
			t.Errorf("%s grew Go's memory by %d MB", path, grown>>20)
		}
		for range 4 {
			l.want(path+"?o=a&n=30000000", "1")
		}
		if memory := l.size().Memory; memory > 112<<20 {
			t.Errorf("five %s grew Go's memory to %d MB", path, memory>>20)
		}
	}
}

func TestNumbersStartAnew(t *testing.T) {
	t.Parallel()
	l := start(t)
	var open []<-chan answer
	for i := range 40 { // handles in use keep their numbers
		open = append(open, l.send(fmt.Sprintf("/direct?o=o%d&m=gatewait", i)))
	}
	for end := time.Now().Add(20 * seconds); l.calls() < len(open) && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	l.want("/lastIDs?n=2147483600", "done")
	var paths []string
	for i := range 40 {
		paths = append(paths, fmt.Sprintf("/direct?o=o%d&m=churn&n=3", i), "/?m=sleep&n=20", "/?o=a&m=impatient&n=2")
	}
	for i, a := range l.together(paths...) {
		if a.status != 200 {
			t.Errorf("%s: %d %q", paths[i], a.status, a.body)
		}
	}
	l.want("/?m=open", "opened")
	for _, c := range open {
		l.wantWithin(20*seconds, c, "waited")
	}
}

// A caller may choose any method name.
func TestNamesOfMethodsAreBounded(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.want("/?m=names&n=1500", "pong")
	var n int
	if a := l.get("/names"); json.Unmarshal([]byte(a.body), &n) != nil || n == 0 || n > 512 {
		t.Errorf("%s names", a.body)
	}
}

func TestRemoteValuesInAResultAreDisposed(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.want("/?m=target&n=10", "done")
	l.eventually("/undisposed", "0", 20*seconds)
	l.want("/?o=a&m=target&n=10", "done")
	l.eventually("/undisposed", "0", 20*seconds)
}
