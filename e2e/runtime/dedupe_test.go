package runtime

import (
	"encoding/base64"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// object is the path at which a test looks into the object of a key.
func object(key string) string {
	return "/peek?o=capdo.dedupe.v1::" + base64.RawURLEncoding.EncodeToString([]byte(key))
}

func TestAlarmEmptiesTheObjectOfAnExpiredKey(t *testing.T) {
	l := start(t)
	l.want("/?m=claim&k=alpha&n=300", "true")
	l.want("/?m=claim&k=alpha&n=300", "false")
	if a := l.get(object("alpha")); a.body == "[0,null]" || a.status != 200 {
		t.Errorf("the object holds %s", a.body)
	}
	l.eventually(object("alpha"), "[0,null]", 5*time.Second)
	l.want("/?m=claim&k=alpha&n=60000", "true")
}

func TestAlarmOfAnExpiredKeySurvivesSIGKILL(t *testing.T) {
	l := start(t)
	l.want("/?m=claim&k=alpha&n=500", "true")
	l.restart()
	l.eventually(object("alpha"), "[0,null]", 5*time.Second)
}

func TestForgetEmptiesTheObject(t *testing.T) {
	l := start(t)
	l.want("/?m=claim&k=alpha&n=60000", "true")
	l.want("/?m=forget&k=alpha", "")
	l.want(object("alpha"), "[0,null]")
	l.want("/?m=forget&k=alpha", "")
	l.want("/?m=claim&k=alpha&n=60000", "true")
}

// A claim whose answer is lost because the program crashed under it is tried again with the same owner: it has one winner all the same.
func TestOneWinnerPerKeyWhileTheProgramCrashes(t *testing.T) {
	l := start(t)
	const keys, callers = 30, 4
	var winners [keys]atomic.Int32
	var unknown, crashes atomic.Int32
	stop := make(chan struct{})
	var crashing sync.WaitGroup
	crashing.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(40 * time.Millisecond):
				l.get("/?m=exit")
				crashes.Add(1)
			}
		}
	})
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for n := range keys {
				key := (n + caller) % keys
				switch a := l.get(fmt.Sprintf("/?m=claim&k=crash%d&n=600000", key)); {
				case a.status != 200:
					unknown.Add(1)
				case a.body == "true":
					winners[key].Add(1)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	crashing.Wait()
	for key := range winners {
		if n := winners[key].Load(); n > 1 {
			t.Errorf("key %d has %d winners", key, n)
		}
		l.want(fmt.Sprintf("/?m=claim&k=crash%d&n=600000", key), "false")
	}
	t.Logf("%d claims, %d unknown outcomes, %d crashes", keys*callers, unknown.Load(), crashes.Load())
}
