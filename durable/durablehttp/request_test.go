package durablehttp

import (
	"net/http"
	"net/url"
	"reflect"
	"testing"
)

// FuzzRequestURL checks that the URL taken from an absolute URL equals the
// parsed RequestURI.
func FuzzRequestURL(f *testing.F) {
	for _, s := range []string{
		"http://h", "http://h/", "http://h/a/b?c=d", "http://h/?", "http://h?", "http://h?a?b", "http://h/a?b?", "http://h//a//b", "http://h/a%20b",
		"http://h/a b", "http://h/a%2Fb", "http://h/%zz", "http://h/*", "http://h/a#b", "http://h/?a#b", "http:opaque", "http://u:p@h:1/", "/a", "a", "*", "",
		"http://h/\u00fc", "http://h/%C3%BC?\u00fc", "http://h/a;b,c:d@e", "http://h/[]{}|^", "http://h/:", "//h/a", "http://h/a?%zz", "https://[::1]:2/x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.Parse(s)
		if err != nil {
			t.Skip()
		}
		got, gotErr := requestURL(u, u.RequestURI())
		want, wantErr := url.ParseRequestURI(u.RequestURI())
		if (gotErr != nil) != (wantErr != nil) || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %#v, %v; want %#v, %v", s, got, gotErr, want, wantErr)
		}
	})
}

func BenchmarkRequestURL(b *testing.B) {
	u, _ := url.Parse("http://127.0.0.1:8787/dedupe/put_if_absent?key=a")
	uri := u.RequestURI()
	b.Run("taken over", func(b *testing.B) {
		for b.Loop() {
			requestURL(u, uri)
		}
	})
	b.Run("parsed", func(b *testing.B) {
		for b.Loop() {
			url.ParseRequestURI(uri)
		}
	})
}

// The Request that is sent has neither a user nor a fragment in its URL. (A
// server would not see the difference: workerd leaves both out, too.)
func TestTheURLIsSentWithoutUserAndFragment(t *testing.T) {
	r, err := http.NewRequestWithContext(t.Context(), "GET",
		"https://user:password@example.com/a%2Fb?q=1#part", nil)
	if err != nil {
		t.Fatal(err)
	}
	sent, err := transport{}.request(r)
	if err != nil || sent.URL != "https://example.com/a%2Fb?q=1" {
		t.Errorf("%v, %v", sent, err)
	}
}
