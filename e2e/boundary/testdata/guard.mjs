// A Runtime that checks its imports: JavaScript must write to Go's memory only
// inside the window that Go gave it, must fill that window, and must read
// nothing else.
import { Runtime } from "./runtime.mjs";
import { Encoded } from "./value.mjs";

const NEAR = 16 << 10; // bytes to compare on both sides of a window in each call
const WHOLE = 701;     // every so many calls all of Go's memory is compared

// The positions of each import's window among its arguments; an empty list
// means no window. transact is missing, because Go runs inside it.
const windows = { call: [4, 6], take: [2, 3], intern: [], size: [], discard: [], reply: [], proceed: [], wake: [], free: [] };

export const guard = {
  calls: 0, wholes: 0, windows: 0, encodedTwice: 0, faults: [],
  isStable: false, // the next value is encoded the same each time
  fault(text) { if (this.faults.length < 20) this.faults.push(text); },
};

let before = new Uint8Array(0);

// differs returns the first position where two ranges of equal length and
// alignment differ, or -1.
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
      if (bad >= 0) guard.fault(`${name} wrote at ${from + bad}, outside of ${size} bytes at ${at}`);
    }
  };
}

const sameBytes = (a, b) => a.length === b.length && a.every((v, i) => v === b[i]);

// flatten returns the bytes that an Encoded gives Go.
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
      if (out === 1) { // every byte must have been overwritten
        const written = new Uint8Array(this.exports.mem.buffer, ptr >>> 0, size);
        if (!sameBytes(flatten(value, 0x5a), written)) guard.fault("take: old bytes of the window remain");
      }
      return out;
    };
    for (const [name, window] of Object.entries(windows)) imports[name] = watched(this, name, imports[name], window);
    return imports;
  }

  // encode encodes a stable value twice, over different bytes.
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
      if (!sameBytes(bytes, flatten(second, 0xcc))) guard.fault("old bytes of the buffer remain");
      guard.encodedTwice++;
    }
    for (const ref of second.held) context.free(ref);
    return first;
  }

  // pack: the window's old bytes must have no effect, and bytes beyond the
  // value have no meaning.
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
