// WebSockets: numbers for them, and what they receive until Go asks for it.

import { utf8 } from "./value.mjs";

const socketIDs = new WeakMap();
let lastSocketID = 0;

// socketID returns a number for a WebSocket, by which Go recognizes it.
export function socketID(ws) {
  let id = socketIDs.get(ws);
  if (id === undefined) socketIDs.set(ws, id = ++lastSocketID);
  return id;
}

// messageBytes converts a message to bytes: Go would copy a long string once
// more.
export const messageBytes = (data) => typeof data === "string" ? utf8.encode(data) : new Uint8Array(data);

// CLOSING_MS: a WebSocket whose other side has not answered a close after this
// many ms is lost. Nobody is at the other side of one whose response was
// dropped, and V8's collector would take its time to say so.
const CLOSING_MS = 5000;

// send sends data, unless more than max bytes of what was sent before wait for
// the network.
export function send(ws, data, max) {
  if (ws.bufferedAmount > max) return false;
  ws.send(data);
  return true;
}

// SMALL is the size of a message, in bytes, that is always received where no
// other is unread.
const SMALL = 64 << 10;

// accepted are the WebSockets that have an inbox: each message goes to one.
const accepted = new WeakSet();

// unread is what all inboxes of the isolate hold, in bytes, as they count them.
// An inbox that nobody reads to its end gives back what it holds when it is
// collected; before compatibility date 2025-05-05, which has no registry, it
// stays counted.
let unread = 0;
const collected = globalThis.FinalizationRegistry && new FinalizationRegistry((held) => { unread -= held.size; });

// Inbox keeps what an accepted WebSocket receives until Go asks for it: workerd
// delivers as fast as it arrives. While the socket is open its context is held:
// the object is not idle, and timers go on.
export class Inbox {
  constructor(ws, context) {
    this.ws = ws;
    this.context = context;
    this.messages = []; // [whether it is text, bytes]
    this.head = 0;      // of messages: those before have been taken
    this.held = { size: 0 }; // of the others, in bytes
    this.end = null;    // what comes after them: [close code, reason], or an Error
    this.closingSince = 0;
    this.arrived = null;
    this.arrival = null; // a promise that something has arrived, and what resolves it
  }

  // accept begins to receive. A message that would make the inbox larger than
  // max bytes, each counting overhead besides its own, ends it, unless it is
  // the only one: what it holds is lost. All inboxes together hold at most all
  // bytes, besides a small message each, and each of them only as much as it
  // leaves to the others.
  accept(max, all, overhead, code, reason) {
    const { ws, held } = this;
    if (accepted.has(ws)) throw new TypeError("the WebSocket was accepted before");
    accepted.add(ws);
    const fits = (size) => held.size === 0 ? size <= SMALL || unread + size <= all
      : held.size + size <= Math.min(max, all - unread - size);
    collected?.register(this, held);
    ws.binaryType = "arraybuffer";
    ws.addEventListener("message", ({ data }) => {
      if (this.end) return;
      const bytes = messageBytes(data), size = bytes.length + overhead;
      if (!fits(size)) {
        this.drop();
        this.finish([0, ""]);
        return ws.close(code, reason);
      }
      held.size += size;
      unread += size;
      this.messages.push([typeof data === "string", bytes]);
      this.arrived?.();
    });
    ws.addEventListener("close", (e) => {
      this.finish([e.code, e.reason.toWellFormed()]);
      if (e.wasClean && ws.readyState < 3) ws.close(...e.code === 1005 ? [] : [e.code, e.reason]); // compatibility date before 2026-04-07
    });
    ws.addEventListener("error", (e) => this.finish(e.error ?? new Error(e.message)));
    ws.accept();
    this.context.addSocket(this);
    return this;
  }
  // leave closes a WebSocket that is still open when its invocation ends, also
  // when the Go program ends.
  leave() {
    this.drop(); // nobody can read it any more
    this.finish([1011, ""]);
    if (this.ws.readyState < 3) this.ws.close(1011, "the invocation is over");
  }
  // drop discards unread messages.
  drop() {
    unread -= this.held.size;
    this.held.size = this.messages.length = this.head = 0;
  }
  finish(end) {
    this.end ??= end;
    this.context.removeSocket(this);
    this.arrived?.();
  }

  // look is called once a second while the socket is open.
  look(now) {
    if (this.ws.readyState === 2 && (this.closingSince ||= now) <= now - CLOSING_MS) this.finish([1006, ""]);
  }

  // next returns a message, or the end if there are no more. If neither is
  // there yet, it returns a promise that resolves to undefined when one is.
  next(overhead) {
    if (this.head === this.messages.length) {
      if (this.end instanceof Error) throw this.end;
      return this.end ?? this.wait();
    }
    const message = this.messages[this.head];
    this.messages[this.head++] = null;
    if (this.head === this.messages.length) this.messages.length = this.head = 0;
    const size = message[1].length + overhead;
    this.held.size -= size;
    unread -= size;
    return message;
  }
  wait() {
    if (!this.arrival) {
      const { promise, resolve } = Promise.withResolvers();
      this.arrived = resolve;
      this.arrival = promise.then(() => { this.arrival = this.arrived = null; });
    }
    return this.arrival;
  }
}
