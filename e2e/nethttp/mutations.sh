#!/usr/bin/env bash
# Breaks durablehttp, each time in a copy, and expects the comparison with
# net/http to fail.
package=e2e/nethttp
source "$(dirname "$0")/../internal/mutate.sh"

http=durable/durablehttp response=durable/durablehttp/response.go
same=TestHandlersAnswerAsBehindNetHTTP
mutate "an aborted body ends like a complete one" $same $response 's/w\.pipe\.CloseWithError\(w\.failed\)/w.pipe.Close()/'
mutate "ReverseProxy does not find the server" $same $http/durablehttp.go 's/ctx = context\.WithValue\(ctx, http\.ServerContextKey, server\)//'
mutate "encoded bytes are encoded again" $same internal/shim/js/shim.mjs 's/encodeBody: ([^,}]*)/encodeBody: "automatic"/'
mutate "a flushed response with status 204 has a body" $same $response 's/if w\.isHead \|\| !w\.hasBody\(\) \{\n\t\tclose/if w.isHead {\n\t\tclose/' durable/fetch.go 's/status == 204 \|\| //'
mutate "line ends in header values are kept" $same $response 's/clean\[i\] = cleanValue\(v\)/clean[i] = v/'
mutate "invalid header names are kept" $same $response 's/!isToken\(name\) \|\| //'
mutate "a Content-Type is guessed for encoded bytes" $same $response 's/ && w\.sent\.Get\("Content-Encoding"\) == ""//'
mutate "status 600 is passed to JavaScript" $same $response 's/w\.status >= 600/w.status >= 1600/'
mutate "a bad URL causes an error instead of status 400" $same $http/durablehttp.go 's/return badRequest\(\), nil/return nil, err/'
mutate "a body shorter than announced is accepted" $same $response 's/w\.failed = errShort/_ = errShort/' durable/body.go 's/Call\("pipe", lengthOf\(header\)\)/Call("pipe", nil); _ = lengthOf/'
mutate "a body longer than announced is accepted" $same $response 's/w\.length >= 0 && w\.written > w\.length/false/'
mutate "headers that are set too late are sent" $same $response 's/w\.status, w\.sent = status, maps\.Clone\(w\.header\)/w.status, w.sent = status, w.header; _ = maps.Clone(w.header)/'
mutate "a response to HEAD has no length" $same $response 's/\(w\.written > 0 \|\| !w\.isHead\)/!w.isHead/'
mutate "a response ends like a complete one after a panic" $same $response 's/w\.failed = fmt\.Errorf\("panic: %v", p\)/println(p)/; s/import \(/import (\n\t_ "fmt"/' 
mutate "flushed events are not sent" TestEventsArriveAsTheyAreFlushed $response 's/return w\.stream\.Flush\(\)/return nil/'
mutate "events are not sent through a middleware" TestEventsArriveAsTheyAreFlushed $http/forward.go 's/\t\t\trc\.Flush\(\)[^\n]*\n//'
exit $failed
