// A Runtime whose imports are watched: what JavaScript writes into Go's memory
// lies in the window that Go gave, all of it is written, and nothing else is
// read.
import { Runtime } from "./runtime.mjs";
import { Encoded } from "./value.mjs";

const NEAR = 16 << 10; // bytes that are compared on both sides of a window, in each call
const WHOLE = 701;     // and all of Go's memory in each call of so many

// Where an import's window is among its arguments; the others have none.
// transact is not among them: Go runs inside of it.
const windows = { call: [4, 6], take: [2, 3], intern: [], size: [], discard: [], reply: [], proceed: [], wake: [], free: [] };

export const guard = {
  calls: 0, wholes: 0, windows: 0, encodedTwice: 0, faults: [],
  isStable: false, // the next value to be encoded is the same each time
  fault(text) { if (this.faults.length < 20) this.faults.push(text); },
};

let before = new Uint8Array(0);

// differs returns where two ranges of equal length and alignment differ first,
// or -1.
function differs(a, b, from, to) {
  const head = Math.min(to, (from + 3) & ~3), tail = Math.max(head, to & ~3);
  for (let i = from; i < head; i++) if (a[i] !== b[i]) return i;
  const n = (tail - head) >> 2, x = new Int32Array(a.buffer, a.byteOffset + head, n), y = new Int32Array(b.buffer, b.byteOffset + head, n);
  for (let i = 0; i < n; i++) if (x[i] !== y[i]) return head + 4 * i;
  for (let i = tail; i < to; i++) if (a[i] !== b[i]) return i;
  return -1;
}

function watched(rt, name, f, [atArgument, sizeArgument]) {
  return (...args) => {
    const isWhole = ++guard.calls % WHOLE === 0;
    if (!isWhole && atArgument === undefined) return f(...args);
    const { buffer } = rt.exports.mem, at = atArgument === undefined ? 0 : args[atArgument] >>> 0,
      size = sizeArgument === undefined ? 0 : args[sizeArgument];
    const from = isWhole ? 0 : Math.max(0, (at & ~3) - NEAR), to = isWhole ? buffer.byteLength : Math.min(buffer.byteLength,
      (at + size + NEAR) & ~3);
    if (before.length < to - from) before = new Uint8Array(to - from);
    const now = new Uint8Array(buffer, from, to - from);
    before.set(now);
    guard[isWhole ? "wholes" : "windows"]++;
    try {
      return f(...args);
    } finally {
      let bad = now.length === 0 ? from : differs(before, now, 0, at - from);
      if (bad < 0) bad = differs(before, now, at + size - from, to - from);
      if (bad >= 0) guard.fault(`${name} has written at ${from + bad}, outside of ${size} bytes at ${at}`);
    }
  };
}

const sameBytes = (a, b) => a.length === b.length && a.every((v, i) => v === b[i]);

// flatten is what an Encoded gives Go.
function flatten(encoded, poison) {
  const out = new Uint8Array(encoded.size).fill(poison);
  encoded.copy(out, 0, encoded.size);
  return out;
}

export class Guarded extends Runtime {
  boundaryImports() {
    const imports = super.boundaryImports(), { take } = imports;
    imports.take = (contextID, id, ptr, size) => {
      const value = this.contexts.get(contextID)?.encoded.get(id), out = take(contextID, id, ptr, size);
      if (out === 1) { // each byte has been written: it does not depend on what was there
        const written = new Uint8Array(this.exports.mem.buffer, ptr >>> 0, size);
        if (!sameBytes(flatten(value, 0x5a), written)) guard.fault("take: what was there before shows through");
      }
      return out;
    };
    for (const [name, window] of Object.entries(windows)) imports[name] = watched(this, name, imports[name], window);
    return imports;
  }

  // encode encodes a value that stays the same twice, over different bytes.
  encode(v, context, ...where) {
    const { isStable } = guard, [memory, , at] = where;
    guard.isStable = false;
    if (!isStable || !this.writer) return super.encode(v, context, ...where);
    this.writer.own.fill(0x33);
    const first = super.encode(v, context, ...where), { writer } = this;
    writer.own.fill(0xcc);
    const second = super.encode(v, context, null);
    if (first instanceof Encoded ? first.held.length === 0 : second.held.length === 0) {
      const bytes = first instanceof Encoded ? flatten(first, 0x33) : memory.slice(at, at + first);
      if (!sameBytes(bytes, flatten(second, 0xcc))) guard.fault("what was in the buffer before shows through");
      guard.encodedTwice++;
    }
    for (const ref of second.held) context.free(ref);
    return first;
  }

  // pack: the window has no meaning before, and none beyond what is written.
  pack(context, v, ptr, cap) {
    this.memory();
    const at = ptr >>> 0, { u8 } = this;
    u8.fill([0, 0xff, 0x0d, 0x05][guard.calls % 4], at, at + cap);
    const n = super.pack(context, v, ptr, cap);
    if (n > cap || n === 0) guard.fault(`pack: ${n} bytes in a buffer of ${cap}`);
    if (n > 0) u8.fill(0xf7, at + n, at + cap);
    return n;
  }
}
