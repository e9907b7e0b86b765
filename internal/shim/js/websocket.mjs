// WebSockets: their numbers, and inboxes for what they receive until Go asks
// for it.

import { utf8 } from "./value.mjs";

const socketIDs = new WeakMap();
let lastSocketID = 0;

// socketID returns a WebSocket's number. Go recognizes the WebSocket by it.
export function socketID(ws) {
  let id = socketIDs.get(ws);
  if (id === undefined) socketIDs.set(ws, id = ++lastSocketID);
  return id;
}

// messageBytes converts a message to bytes. For a long string, that saves Go a
// copy.
export const messageBytes = (data) => typeof data === "string" ? utf8.encode(data) : new Uint8Array(data);

// CLOSING_MS: if the other side does not answer a close within this many ms, the
// WebSocket is lost. If its response was dropped, there is no other side, and
// V8's collector would report that only much later.
const CLOSING_MS = 5000;

// send sends data, unless more than max bytes already wait for the network.
export function send(ws, data, max) {
  if (ws.bufferedAmount > max) return false;
  ws.send(data);
  return true;
}

// SMALL is the size, in bytes, up to which a message is always received if the
// inbox is empty.
const SMALL = 64 << 10;

// accepted are the WebSockets that have an inbox. A WebSocket can have only
// one, because each message goes to one inbox.
const accepted = new WeakSet();

// unread is the size of all inboxes of the isolate, in bytes, including
// overhead. If Go does not read an inbox to its end, its size is subtracted
// when it is garbage-collected. There is no registry before compatibility date
// 2025-05-05; then it stays counted.
let unread = 0;
const collected = globalThis.FinalizationRegistry && new FinalizationRegistry((held) => { unread -= held.size; });

// Inbox keeps what an accepted WebSocket receives until Go asks for it, because
// workerd delivers messages as fast as they arrive. An open socket keeps its
// context open: the object is not idle, and timers continue.
export class Inbox {
  constructor(ws, context) {
    this.ws = ws;
    this.context = context;
    this.messages = []; // [whether it is text, bytes] each
    this.head = 0;      // index of the first unread message
    this.held = { size: 0 }; // size of the unread messages, in bytes
    this.end = null;    // what follows the messages: [close code, reason], or an Error
    this.closingSince = 0;
    this.arrived = null;
    this.arrival = null; // a promise that resolves when something arrives; arrived resolves it
  }

  // accept starts receiving. A message counts its own size plus overhead. If a
  // message would make the inbox larger than max bytes, the WebSocket is closed
  // and the inbox's content is lost; a message that is alone in the inbox may
  // be larger than max. All inboxes together hold at most all bytes, besides
  // one small message each, and an inbox holds at most as much as it leaves to
  // the others.
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
  // leave closes a WebSocket that is still open when its invocation ends. It
  // does so also when the Go program ends.
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

  // next returns a message, or the end if there are no more. If there is
  // neither yet, it returns a promise that resolves to undefined when there is.
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
