// Package request sends the requests of end-to-end tests.
package request

import (
	"io"
	"net/http"
)

// Answer is a complete answer. Its Status is 0 if none has begun.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Do sends a request and reads its answer.
func Do(c *http.Client, r *http.Request) (Answer, error) { return read(c.Do(r)) }

// Get sends a GET request and reads its answer.
func Get(c *http.Client, url string) (Answer, error) { return read(c.Get(url)) }

// Post sends a POST request without a body and reads its answer. Unlike a GET,
// net/http does not repeat it.
func Post(c *http.Client, url string) (Answer, error) { return read(c.Post(url, "", nil)) }

func read(resp *http.Response, err error) (Answer, error) {
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return Answer{resp.StatusCode, resp.Header, string(b)}, err
}

// SetHeader sets headers from pairs of a name and a value. A later one replaces
// an earlier one of the same name.
func SetHeader(r *http.Request, header ...string) {
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
}
