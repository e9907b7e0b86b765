#!/usr/bin/env bash
# Breaks durablehttp, each time in a copy, and expects the comparison with
# net/http to fail.
package=e2e/nethttp
source "$(dirname "$0")/../internal/mutate.sh"

http=durable/durablehttp response=durable/durablehttp/response.go
same=TestHandlersAnswerAsBehindNetHTTP
mutate "an abort ends the body in order" $same $response 's/w\.pipe\.CloseWithError\(w\.failed\)/w.pipe.Close()/'
mutate "ReverseProxy does not find the server" $same $http/durablehttp.go 's/ctx = context\.WithValue\(ctx, http\.ServerContextKey, server\)//'
mutate "encoded bytes are encoded again" $same internal/shim/js/shim.mjs 's/encodeBody: ([^,}]*)/encodeBody: "automatic"/'
mutate "204 has a body when it is flushed" $same $response 's/if w\.isHead \|\| !w\.hasBody\(\) \{\n\t\tclose/if w.isHead {\n\t\tclose/' durable/fetch.go 's/status == 204 \|\| //'
mutate "line ends stay in values" $same $response 's/clean\[i\] = cleanValue\(v\)/clean[i] = v/'
mutate "invalid names are kept" $same $response 's/!isToken\(name\) \|\| //'
mutate "a type is guessed for encoded bytes" $same $response 's/ && w\.sent\.Get\("Content-Encoding"\) == ""//'
mutate "600 goes to JavaScript" $same $response 's/w\.status >= 600/w.status >= 1600/'
mutate "a bad URL is an error" $same $http/durablehttp.go 's/return badRequest\(\), nil/return nil, err/'
mutate "less than the announced length passes" $same $response 's/w\.failed = errShort/_ = errShort/' durable/body.go 's/Call\("pipe", lengthOf\(header\)\)/Call("pipe", nil); _ = lengthOf/'
mutate "more than the announced length passes" $same $response 's/w\.length >= 0 && w\.written > w\.length/false/'
mutate "headers that come late go out" $same $response 's/w\.status, w\.sent = status, maps\.Clone\(w\.header\)/w.status, w.sent = status, w.header; _ = maps.Clone(w.header)/'
mutate "HEAD has no length" $same $response 's/\(w\.written > 0 \|\| !w\.isHead\)/!w.isHead/'
mutate "a panic is a complete response" $same $response 's/w\.failed = fmt\.Errorf\("panic: %v", p\)/println(p)/; s/import \(/import (\n\t_ "fmt"/' 
mutate "events wait for more" TestEventsArriveAsTheyAreFlushed $response 's/return w\.stream\.Flush\(\)/return nil/'
mutate "a middleware holds events back" TestEventsArriveAsTheyAreFlushed $http/forward.go 's/\t\t\trc\.Flush\(\)[^\n]*\n//'
exit $failed
