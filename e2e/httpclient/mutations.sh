#!/usr/bin/env bash
# Breaks the code that sends requests, each time in a copy, and expects the
# comparison with net/http's client to fail.
package=e2e/httpclient
source "$(dirname "$0")/../internal/mutate.sh"

transport=durable/durablehttp/transport.go
same=TestClientsSeeWhatNativeOnesSee
mutate "a body that fails does not abort the request" $same durable/body.go 's/\t\tfailed\(err\)\n//'
mutate "the platform decodes an encoding that the request asks for" $same internal/shim/js/host.mjs 's/ && !request\.headers\.has\("accept-encoding"\)//'
mutate "gzip is not decoded" $same $transport 's/if unzips && strings/if false && strings/'
mutate "the body's length is not sent" $same $transport 's/if r\.ContentLength > 0 && r\.Body != nil/if false/'
mutate "a body of another length than announced is accepted" $same $transport 's/return &sentBody\{ReadCloser: r\.Body, length: r\.ContentLength\}/return r.Body/' durable/body.go 's/Call\("pipe", lengthOf\(header\)\)/Call("pipe", nil); _ = lengthOf/'
mutate "a body that breaks off has another error" $same $transport 's/err = fmt\.Errorf\("%w: %w", io\.ErrUnexpectedEOF, err\)/break/'
mutate "the cause of a canceled context is lost" $same $transport 's/context\.Cause\(b\.ctx\)/b.ctx.Err()/; s/context\.Cause\(r\.Context\(\)\)/r.Context().Err()/'
mutate "a header named Host is sent" $same $transport 's/case "Host", "Content-Length"/case "X-None", "Content-Length"/'
mutate "invalid header values are passed to JavaScript" $same $transport 's/c < . . && c != .\\t. \|\| c == 0x7f/false/'
mutate "a handler's goroutine is not marked with its context" $same internal/jsrt/boundary_js.go 's/setMark\(&i\.c\.mark\)/setMark(nil)/'
mutate "a request without a context is sent in whichever context runs" TestFetchWithoutAContext internal/jsrt/section.go 's/\tm := marked\(\)\n\tif m == nil \{\n\t\treturn nil\n\t\}/\tm := &current.mark/'
mutate "cookies are joined with commas" $same $transport 's/values = \[\]string\{strings\.Join\(values, "; "\)\}//'
mutate "a body that is being read is not closed when its request is given up" TestCanceledRequestClosesItsBody durable/fetch.go 's/if !isOver \{/if !isOver \&\& false {/'
mutate "copies of the default transport cannot dial" $same durable/durablehttp/default_js.go 's/\tt\.DialContext, t\.DialTLSContext = .*//'
exit $failed
