// JavaScript functions that Go calls: reference 0 of every context is the
// object host. It has functions that need a JavaScript constructor or a
// callback, or that would otherwise take several crossings.

import { ByRef, asError, nameOf } from "./value.mjs";
import { Inbox, send, socketID } from "./websocket.mjs";

let caller = null; // the context whose Go code calls

// setCaller sets the context for which Go calls.
export function setCaller(context) { caller = context; }

// headerText returns Headers as one string, with one line for each name and
// each value. workerd allows no line breaks in them.
export function headerText(headers) {
  let text = "";
  headers.forEach((value, name) => { text += `${name}\n${value}\n`; }); // for … of takes twice as long
  return text;
}

// withHeaders appends headers from a list of alternating names and values.
// workerd takes less time for that than for headers among the options.
export function withHeaders(target, list) {
  if (list === null) return target;
  const { headers } = target;
  for (let i = 0; i < list.length; i += 2) headers.append(list[i], list[i + 1]);
  return target;
}

export const host = {
  keys: (o) => Object.keys(o),
  nameOf,

  // variable returns a variable or secret: text, or the JSON value of the
  // config as text. It returns undefined if there is none, and false for a
  // binding of another kind.
  variable: (env, name) => {
    const v = Object.hasOwn(env, name) ? env[name] : undefined;
    if (v === undefined || typeof v === "string") return v;
    return typeof v !== "object" || v === null || [Object.prototype, Array.prototype].includes(Object.getPrototypeOf(v)) ? JSON.stringify(v) : false;
  },

  // namespace returns a binding, or null if it is not a namespace.
  namespace: (env, name) => {
    const binding = env[name];
    return binding?.idFromName == null ? null : binding;
  },
  // isQueue looks at the prototype, because a service binding has a method of
  // every name.
  isQueue: (binding) => "sendBatch" in Object.getPrototypeOf(binding),

  // callByName calls a method of an object through a new stub.
  callByName: (namespace, name, method, ...args) => namespace.getByName(name)[method](...args),

  // fetch sends a request to target, which is a stub; if target is null, it
  // sends the request out of the Worker. It returns the parts of the response.
  // If the request is refused, its body is canceled, because nobody reads it.
  // An object's answer stays encoded, and so does the answer to a request with
  // Accept-Encoding or Range; other answers are decoded by the platform.
  fetch: async (target, method, url, headers, body, signal) => {
    let request;
    try {
      request = withHeaders(new Request(url, { method, body, signal, redirect: "manual" }), headers);
    } catch (e) {
      cancel(body, e);
      throw e;
    }
    const isDecoded = !target && !request.headers.has("accept-encoding") && !request.headers.has("range");
    const r = await (target ?? globalThis).fetch(request, { encodeResponseBody: isDecoded ? "automatic" : "manual" });
    return [r.status, headerText(isDecoded && r.body ? decoded(r.headers) : r.headers), r.body, r.webSocket];
  },
  abortController: () => new AbortController(),
  // reader returns a reader with large buffers if the stream supports it. A
  // default reader reads 4 KiB at a time.
  reader: (body) => {
    try {
      return body.getReader({ mode: "byob" });
    } catch {
      return body.getReader(); // the stream was made in JavaScript
    }
  },
  read: (reader, size) => reader instanceof ReadableStreamBYOBReader ? reader.read(new Uint8Array(size)) : reader.read(),
  // pipe lets Go stream a body out: Go writes to one end and hands over the
  // other. If the body's length differs from the announced one, it breaks off.
  pipe: (length) => {
    const { readable, writable } = length === null ? new IdentityTransformStream() : new FixedLengthStream(length);
    return [readable, writable.getWriter()];
  },

  pair: () => Object.values(new WebSocketPair()),
  send,
  inbox: (ws, ...how) => new Inbox(ws, caller).accept(...how),
  acceptWebSocket: (state, ws, tags) => {
    state.acceptWebSocket(ws, tags);
    return socketID(ws);
  },
  webSockets: (state, ...tag) => state.getWebSockets(...tag).flatMap((ws) => [socketID(ws), ws]),
  autoResponse: (state, ...pair) => state.setWebSocketAutoResponse(pair.length ? new WebSocketRequestResponsePair(...pair) : undefined),

  id: (id) => [id.toString(), id.name, id.jurisdiction],
  entries: async (target, method, ...args) => [...await target[method](...args)],
  list: (kv, options) => [...kv.list(options)],

  // runExclusive calls target[method] with a callback that Go runs. The section
  // has begun when the returned promise resolves; it resolves to the callback's
  // argument and an object whose end method ends the section. Go is entered
  // inside the callback, so everything that Go begins there belongs to the
  // section.
  runExclusive: (target, method) => {
    const context = caller, begun = Promise.withResolvers();
    const done = target[method]((argument) => {
      if (context.closed) return undefined; // nobody would end the section
      const { promise, resolve, reject } = Promise.withResolvers();
      const end = (failure) => {
        context.leaveSection();
        if (failure === null) resolve();
        else reject(new Error(failure));
        if (failure !== null && method === "blockConcurrencyWhile") queueMicrotask(() => context.close()); // workerd resets the object
        return done;
      };
      context.enterSection();
      begun.resolve([argument, new ByRef({ end })]);
      return promise;
    });
    done.catch(begun.reject);
    return begun.promise;
  },
  // abort must not run while Go is on the stack, because it would unwind Go.
  // The returned promise never settles; it ends with its context.
  abort: (...args) => {
    const context = caller;
    queueMicrotask(() => context.reset(...args));
    return Promise.withResolvers().promise;
  },

  // query runs SQL. It returns the column names and the first result of next;
  // if there may be more rows, the last element is an object with the method
  // next. next returns up to limit rows, or fewer once they take budget bytes;
  // then the numbers of rows read and written so far; then true if there may be
  // more rows, false if not, or the error that ended the query.
  query: (sql, limit, budget, text, ...args) => {
    const cursor = sql.exec(text, ...args), rows = cursor.raw();
    const next = (limit, budget) => {
      const out = [];
      let more = true;
      try {
        while (more && out.length < limit && budget > 0) {
          const { value, done } = rows.next();
          if (done) { more = false; break; }
          out.push(value);
          for (const v of value) budget -= v?.length ?? v?.byteLength ?? 8;
        }
      } catch (e) {
        more = asError(e);
      }
      return [out, cursor.rowsRead, cursor.rowsWritten, more];
    };
    const first = next(limit, budget);
    if (first[3] === true) first[3] = new ByRef({ next });
    return [cursor.columnNames, ...first];
  },
};

// cancel gives up a body that nobody will read. The body's writer gets the
// reason.
export function cancel(body, reason) {
  try {
    if (body instanceof ReadableStream && !body.locked) body.cancel(reason).catch(() => {});
  } catch {
    // it belongs to another context
  }
}

// refuse closes a WebSocket that nobody will read.
export function refuse(ws, reason) {
  try {
    ws.accept();
    ws.close(1011, reason);
  } catch {
    // it was accepted before, or is gone
  }
}

// dispose releases remote objects in the result of an RPC call. Go uses only
// copied values.
// https://developers.cloudflare.com/workers/runtime-apis/rpc/lifecycle/
export function dispose(v) {
  try {
    v?.[Symbol.dispose]?.();
  } catch {
    // its connection is gone
  }
}

// abandon releases a value that nobody will use. It notifies the other side of
// a response or WebSocket.
export function abandon(v) {
  if (Array.isArray(v)) return v.forEach(abandon);
  if (v instanceof WebSocket) return refuse(v, "nobody waits for the answer any more");
  if (v instanceof ReadableStream) return cancel(v, new Error("nobody waits for the answer any more"));
  dispose(v);
}

// decoded returns the headers of a body that the platform has decoded.
function decoded(headers) {
  if (!["gzip", "br"].includes(headers.get("content-encoding"))) return headers;
  const rest = new Headers(headers);
  rest.delete("content-encoding");
  rest.delete("content-length");
  return rest;
}
