//go:build !js

package stress

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"time"
)

// keyClient has one key after another claimed, waited for, completed, numbered
// and forgotten. No key comes twice.
//
// One client uses an object per key. It makes few: idle objects stay in memory
// for 10 s, which would look like growth.
func (l *lab) keyClient(number int, r *rand.Rand, end time.Time) {
	for n := 0; time.Now().Before(end) && !l.t.Failed(); n++ {
		key := fmt.Sprintf("key %d of client %d in round %d ", n, number, l.round)
		q := url.Values{
			"key":    {key + strings.Repeat(".", r.IntN(1900))},
			"stream": {actor(r.IntN(10))},
		}
		if number > 0 && r.IntN(2) == 0 {
			q.Set("abandon", "")
		}
		if r.IntN(2) == 0 {
			q.Set("forget", "")
		}
		if number == 0 {
			q.Set("perkey", "")
			time.Sleep(500 * time.Millisecond)
		}
		_, err := l.get(l.patient, context.Background(), "/live?"+q.Encode())
		l.judge(key, err)
		l.count("keys")
	}
}
