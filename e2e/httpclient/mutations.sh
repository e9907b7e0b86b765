#!/usr/bin/env bash
# Breaks the code that sends requests, each time in a copy, and expects the
# comparison with net/http's client to fail.
package=e2e/httpclient
source "$(dirname "$0")/../internal/mutate.sh"

transport=durable/durablehttp/transport.go
same=TestClientsSeeWhatNativeOnesSee
mutate "a body that fails does not abort the request" $same durable/body.go 's/\t\tfailed\(err\)\n//'
mutate "the platform decodes requested encodings" $same internal/shim/js/host.mjs 's/ && !request\.headers\.has\("accept-encoding"\)//'
mutate "gzip is not decoded" $same $transport 's/if unzips && strings/if false && strings/'
mutate "the length is not sent" $same $transport 's/if r\.ContentLength > 0 && r\.Body != nil/if false/'
mutate "another length passes" $same $transport 's/return &sentBody\{ReadCloser: r\.Body, length: r\.ContentLength\}/return r.Body/' durable/body.go 's/Call\("pipe", lengthOf\(header\)\)/Call("pipe", nil); _ = lengthOf/'
mutate "the URL keeps its user" $same $transport 's/Scheme: r\.URL\.Scheme,/Scheme: r.URL.Scheme, User: r.URL.User,/'
mutate "a broken body has another error" $same $transport 's/err = fmt\.Errorf\("%w: %w", io\.ErrUnexpectedEOF, err\)/break/'
mutate "a context's end has another error" $same $transport 's/err = b\.ctx\.Err\(\)/break/; s/return nil, cause/return nil, err/'
mutate "headers of the connection are sent" $same $transport 's/case "Host", "Content-Length"/case "X-None", "Content-Length"/'
mutate "invalid values go to JavaScript" $same $transport 's/c < . . && c != .\\t. \|\| c == 0x7f/false/'
mutate "goroutines have no mark" $same internal/jsrt/boundary_js.go 's/setMark\(&i\.c\.mark\)/setMark(nil)/'
mutate "a goroutine without a context fetches for whoever has the stack" TestGoroutinesWithoutAContextFetchForTheirOwnHandler internal/jsrt/section.go 's/\tm := marked\(\)\n\tif m == nil \{\n\t\treturn nil\n\t\}/\tm := &current.mark/'
mutate "cookies are joined with commas" $same $transport 's/values = \[\]string\{strings\.Join\(values, "; "\)\}//'
mutate "a body that waits is not closed" TestBodyThatWaitsIsClosedWhenItsRequestIsGivenUp durable/fetch.go 's/if !isOver \{/if !isOver \&\& false {/'
mutate "copies have no way to dial" $same durable/durablehttp/default_js.go 's/\tt\.DialContext, t\.DialTLSContext = .*//'
exit $failed
