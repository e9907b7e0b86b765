package ledgerapi

import "testing"

// encoding/json would decode all these keys to the same one.
func TestTextThatIsNotUnicodeIsRefused(t *testing.T) {
	fields := []apiField{textOf("key")}
	for _, body := range []string{`{"key":"\ud800"}`, `{"key":"\udfff"}`, "{\"key\":\"\xff\"}"} {
		if v, err := decodeBody([]byte(body), fields); err == nil {
			t.Errorf("%q: %+v", body, v)
		}
	}
	if _, err := decodeBody([]byte(`{"key":"\ud83d\ude00 é"}`), fields); err != nil {
		t.Error(err)
	}
}
