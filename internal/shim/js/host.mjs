// What Go has done in JavaScript: reference 0 of every context is this object.
// It has what needs a JavaScript constructor or a callback, or would take Go
// several crossings.

import { ByRef, asError, nameOf } from "./value.mjs";
import { Inbox, send, socketID } from "./websocket.mjs";

let caller = null; // the context whose Go code calls

// setCaller says for which context Go calls.
export function setCaller(context) { caller = context; }

// headerText is Headers in one string, a line for each name and each value.
// workerd lets no line break into either.
export function headerText(headers) {
  let text = "";
  headers.forEach((value, name) => { text += `${name}\n${value}\n`; }); // for … of takes twice as long
  return text;
}

// withHeaders adds names and values, one after the other, to what has headers:
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

  // variable is a variable or secret: text, or what the config has as JSON. It is
  // undefined where there is none, and false for a binding of another kind.
  variable: (env, name) => {
    const v = Object.hasOwn(env, name) ? env[name] : undefined;
    if (v === undefined || typeof v === "string") return v;
    return typeof v !== "object" || v === null || [Object.prototype, Array.prototype].includes(Object.getPrototypeOf(v)) ? JSON.stringify(v) : false;
  },

  // namespace returns a binding, or null where that is no namespace.
  namespace: (env, name) => {
    const binding = env[name];
    return binding?.idFromName == null ? null : binding;
  },
  // callByName calls a method of an object through a stub of its own.
  callByName: (namespace, name, method, ...args) => namespace.getByName(name)[method](...args),

  // fetch sends a request to target, a stub, or out of the Worker where that is
  // null, and returns the response's parts. Where the request is refused,
  // nobody reads its body. What an object answers stays as it is encoded, and so
  // does what was asked for with Accept-Encoding or Range; else the platform decodes.
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
  // reader returns one that reads into large buffers, where the stream can: the
  // other kind reads 4 KiB at a time.
  reader: (body) => {
    try {
      return body.getReader({ mode: "byob" });
    } catch {
      return body.getReader(); // made in JavaScript
    }
  },
  read: (reader, size) => reader instanceof ReadableStreamBYOBReader ? reader.read(new Uint8Array(size)) : reader.read(),
  // pipe is how Go streams a body out: it writes to one end and hands the other
  // over. A body of another length than was said breaks off.
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

  // runExclusive calls target[method] with a callback that Go runs: it has begun when
  // the promise is fulfilled, with what the callback is given, and is over when
  // Go says how it ended. Go is entered inside of it, so what Go begins there
  // belongs to it.
  runExclusive: (target, method) => {
    const context = caller, begun = Promise.withResolvers();
    const done = target[method]((argument) => {
      if (context.closed) return undefined; // nobody is left who would end it
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
  // abort must not be called while Go is on the stack, which it would unwind.
  // The promise does not settle, but ends with its context.
  abort: (...args) => {
    const context = caller;
    queueMicrotask(() => context.reset(...args));
    return Promise.withResolvers().promise;
  },

  // query runs SQL and returns the columns and what the first next returns, in
  // place of true with what the rest is got from. next returns rows, as many as
  // limit or until they take budget bytes, how many were read and written so
  // far, and whether there may be more, or what ended it.
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

// cancel gives up a body that nobody will read: its writer gets the reason.
export function cancel(body, reason) {
  try {
    if (body instanceof ReadableStream && !body.locked) body.cancel(reason).catch(() => {});
  } catch {
    // it belongs to a context that is not the current one
  }
}

// refuse closes a WebSocket that nobody will read.
export function refuse(ws, reason) {
  try {
    ws.accept();
    ws.close(1011, reason);
  } catch {
    // it has been accepted, or is gone already
  }
}

// decoded returns the headers that hold for a body that the platform has decoded.
function decoded(headers) {
  if (!["gzip", "br"].includes(headers.get("content-encoding"))) return headers;
  const rest = new Headers(headers);
  rest.delete("content-encoding");
  rest.delete("content-length");
  return rest;
}
