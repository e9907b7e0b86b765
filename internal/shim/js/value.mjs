// How values cross between JavaScript and Go: one encoding, a tag byte and then
// little-endian content. The Go half is internal/jsrt/value.go.
//
// Two rules keep Go's memory safe, whatever JavaScript passes. First, a Writer
// trusts no announced size: it checks each write against the space that Go
// gave, and writes a value that does not fit to its own memory. Second, it
// reads each property once, so a value that changes between two reads cannot be
// encoded half from each.

const UNDEFINED = 0, NULL = 1, FALSE = 2, TRUE = 3, NUMBER = 4, STRING = 5, BYTES = 6, ARRAY = 7, OBJECT = 8, DATE = 9, BIGINT = 10,
  REF = 11, ERROR = 12, PENDING = 13, INT = 14, STRING_PLACE = 15, BYTES_PLACE = 16;

// Limits of one encoded value. Go needs up to 24 bytes for each value in an
// array, and each level of nesting takes stack on both sides; 128 MB are all
// that an isolate has.
const MAX_DEPTH = 500;
const MAX_VALUES = 1 << 21;
const MAX_BYTES = 64 << 20;

// MAX_BITS is the largest size of a BigInt. Beyond it, writing the digits takes
// seconds.
const MAX_BITS = 1 << 14;

// LARGE: byte arrays of at least this length are not copied until Go has memory
// for them.
const LARGE = 16 << 10;

// SHORT: a loop encodes strings of at most this length, in UTF-16 units, if they
// are ASCII. It is faster than a call of the platform.
const SHORT = 256;

// MAX_ERROR_TEXT limits the name and the text of an error that Go gets, in
// UTF-16 units.
const MAX_ERROR_TEXT = 16 << 10;

const encoder = new TextEncoder(), decoder = new TextDecoder("utf-8", { ignoreBOM: true });
export const utf8 = { encode: (s) => encoder.encode(s), decode: (bytes) => decoder.decode(bytes) };

// Pending stands for a promise that Go must wait for.
export class Pending { constructor(id) { this.id = id; } }

// ByRef makes a plain object go to Go as a reference instead of by value.
export class ByRef { constructor(target) { this.target = target; } }

// The engine's own getters return the truth even if a class overrides them.
const uncurry = (f) => Function.prototype.call.bind(f);
const getter = (object, name) => uncurry(Object.getOwnPropertyDescriptor(object, name).get);
const typedArray = Object.getPrototypeOf(Uint8Array.prototype);
const kindOf = getter(typedArray, Symbol.toStringTag), lengthOf = getter(typedArray, "byteLength");
const bufferOf = getter(typedArray, "buffer"), offsetOf = getter(typedArray, "byteOffset");
const bufferLength = getter(ArrayBuffer.prototype, "byteLength");
const timeOf = uncurry(Date.prototype.getTime);

const isPlain = (v) => { const p = Object.getPrototypeOf(v); return p === Object.prototype || p === null; };

// asBytes returns a Uint8Array over an ArrayBuffer or a Uint8Array, otherwise
// null: other views are not bytes. It throws for a detached buffer, and for an
// object that only has an ArrayBuffer's prototype and could report any length.
function asBytes(v) {
  if (ArrayBuffer.isView(v)) {
    if (kindOf(v) !== "Uint8Array") return null;
    return lengthOf(v) > 0 ? v : new Uint8Array(bufferOf(v), offsetOf(v), lengthOf(v));
  }
  return v instanceof ArrayBuffer && bufferLength(v) >= 0 ? new Uint8Array(v) : null;
}

// attempt returns the result of f, or the replacement if f throws.
function attempt(f, otherwise) {
  try {
    return f();
  } catch {
    return otherwise;
  }
}

const text = (v) => attempt(() => String(v).slice(0, MAX_ERROR_TEXT).toWellFormed(), "(a value without text)");

// nameOf names the kind of a value that has no equivalent in Go.
export function nameOf(v) {
  if (typeof v !== "object") return `a ${typeof v}`;
  const name = attempt(() => kindOf(v)) ?? text(attempt(() => v.constructor.name, ""));
  return /^[\w$]{1,100}$/.test(name) ? `a JavaScript ${name}` : "a JavaScript object of a class without a name";
}

// errorFields returns the parts of a thrown value that Go gets: name, message
// and own primitive properties (retryable, overloaded, code…). It never throws,
// because it runs in error handlers.
export function errorFields(e) {
  if (!attempt(() => e instanceof Error, false)) return { name: "", message: text(e) };
  const fields = { name: text(attempt(() => e.name, "Error")), message: text(attempt(() => e.message, "")) };
  for (const k of attempt(() => Object.keys(e), [])) {
    const v = attempt(() => e[k]);
    if (k === "name" || k === "message" || !k.isWellFormed()) continue;
    if (typeof v === "string") set(fields, k, text(v));
    else if (typeof v === "number" || typeof v === "boolean") set(fields, k, v);
    else if (typeof v === "bigint" && BigInt.asIntN(64, v) === v) set(fields, k, v);
  }
  return fields;
}

export function toError(fields) {
  const e = new Error(fields.message);
  e.name = fields.name;
  for (const k of Object.keys(fields)) if (k !== "name" && k !== "message") set(e, k, fields[k]);
  return e;
}

// asError converts any thrown value to an Error, so that it does not reach Go
// as a result. The value may be bytes with an error's prototype, or look like
// an error only at first.
export const asError = (e) => toError(errorFields(e));

// set defines an own property of an object, even if its name is __proto__.
function set(object, key, value) {
  if (key === "__proto__") Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  else object[key] = value;
}

// Encoded is a value that JavaScript keeps until Go has memory for it. parts
// are byte arrays outside of its own bytes, each with its position in them.
export class Encoded {
  constructor(bytes, parts, held, size) {
    this.bytes = bytes;
    this.parts = parts;
    this.held = held; // references created for it
    this.size = size;
  }

  // copy writes the value to u8 at a place with size bytes. It reports whether
  // the value is unchanged: a buffer may have been resized or transferred in
  // the meantime.
  copy(u8, at, size) {
    if (size !== this.size || at < 0 || at + size > u8.length) throw new RangeError("capdo: Go has no room for a value of this size");
    if (this.parts.length === 0) {
      u8.set(this.bytes, at);
      return true;
    }
    if (this.parts.some(({ bytes, size }) => lengthOf(bytes) !== size)) return false;
    let from = 0;
    for (const { place, bytes, size } of this.parts) {
      u8.set(this.bytes.subarray(from, place), at);
      at += place - from;
      from = place;
      u8.set(bytes, at);
      at += size;
    }
    u8.set(this.bytes.subarray(from), at);
    return true;
  }
}

const none = Object.freeze([]);
const copyOf = (list) => list.length > 0 ? list.slice() : none;

// Writer encodes values.
export class Writer {
  constructor() {
    this.own = new Uint8Array(1024);
    this.ownView = new DataView(this.own.buffer);
    this.held = [];
    this.parts = [];
  }

  // encode encodes v for a context. It writes into memory from start to end, or
  // into its own memory if memory is null. It returns the number of bytes if
  // all of them are in memory, otherwise an Encoded. If it throws, it has freed
  // its references.
  encode(v, context, memory, view, start, end) {
    this.u8 = memory ?? this.own;
    this.view = memory ? view : this.ownView;
    this.start = this.pos = memory ? start : 0;
    this.end = memory ? end : this.own.length;
    this.context = context;
    this.values = this.depth = this.size = 0;
    this.held.length = this.parts.length = 0;
    try {
      this.value(v);
      if (memory?.length === 0) throw new RangeError("capdo: Go's memory has grown meanwhile");
    } catch (e) {
      for (const ref of this.held) context.free(ref);
      throw e;
    }
    if (this.u8 === memory && this.parts.length === 0) return this.pos - start;
    return new Encoded(this.u8.slice(this.start, this.pos), copyOf(this.parts), copyOf(this.held), this.pos - this.start + this.size);
  }

  // need makes room for n more bytes.
  need(n) {
    if (this.pos + n <= this.end) return;
    const length = this.pos - this.start, size = length + n;
    if (this.size + size > MAX_BYTES) throw new RangeError(`a value of more than ${MAX_BYTES >> 20} MiB`);
    const before = this.u8.subarray(this.start, this.pos);
    if (this.u8 === this.own || size > this.own.length) {
      this.own = new Uint8Array(Math.max(2 * this.own.length, size));
      this.ownView = new DataView(this.own.buffer);
    }
    this.own.set(before);
    this.u8 = this.own;
    this.view = this.ownView;
    this.start = 0;
    this.pos = length;
    this.end = this.own.length;
  }
  // trim frees the memory that a large value took.
  trim() {
    this.parts.length = 0;
    if (this.own.length <= 256 << 10) return;
    this.own = new Uint8Array(1024);
    this.ownView = new DataView(this.own.buffer);
  }

  byte(b) { this.need(1); this.u8[this.pos++] = b; }
  u32(n) { this.need(4); this.view.setUint32(this.pos, n, true); this.pos += 4; }
  number(tag, n) {
    this.need(9);
    this.u8[this.pos] = tag;
    this.view.setFloat64(this.pos + 1, n, true);
    this.pos += 9;
  }
  count(tag, n) {
    this.values += n;
    if (this.values > MAX_VALUES) throw new RangeError(`a value that consists of more than ${MAX_VALUES} values`);
    this.need(5);
    this.u8[this.pos] = tag;
    this.view.setUint32(this.pos + 1, n, true);
    this.pos += 5;
  }
  bytes(b) {
    const n = lengthOf(b);
    this.u32(n);
    if (n >= LARGE) {
      this.size += n;
      if (this.size > MAX_BYTES) throw new RangeError(`a value of more than ${MAX_BYTES >> 20} MiB`);
      this.parts.push({ place: this.pos - this.start, bytes: b, size: n });
      return;
    }
    this.need(n);
    this.u8.set(b, this.pos);
    this.pos += n;
  }
  string(s) {
    if (s.length <= SHORT && this.ascii(s)) return;
    if (s.length > MAX_BYTES) throw new RangeError(`a value of more than ${MAX_BYTES >> 20} MiB`);
    if (!s.isWellFormed()) throw new TypeError("a string with a lone surrogate cannot be a Go string");
    this.need(4);
    const { read, written } = encoder.encodeInto(s, this.u8.subarray(this.pos + 4, this.end));
    if (read < s.length) return this.bytes(encoder.encode(s));
    this.view.setUint32(this.pos, written, true);
    this.pos += 4 + written;
  }
  ascii(s) { // faster for short ASCII text
    const n = s.length;
    this.need(4 + n);
    for (let i = 0, at = this.pos + 4; i < n; i++) {
      const c = s.charCodeAt(i);
      if (c > 127) return false;
      this.u8[at++] = c;
    }
    this.view.setUint32(this.pos, n, true);
    this.pos += 4 + n;
    return true;
  }

  value(v) {
    switch (typeof v) {
      case "undefined": return this.byte(UNDEFINED);
      case "boolean": return this.byte(v ? TRUE : FALSE);
      case "number": return this.number(NUMBER, v);
      case "string": this.byte(STRING); return this.string(v);
      case "bigint":
        if (BigInt.asIntN(MAX_BITS, v) !== v) throw new RangeError(`a BigInt of more than ${MAX_BITS} bits`);
        this.byte(BIGINT);
        return this.string(v.toString());
      case "object": return v === null ? this.byte(NULL) : this.object(v);
    }
    this.reference(v);
  }

  object(v) {
    const bytes = asBytes(v);
    if (bytes) { this.byte(BYTES); return this.bytes(bytes); }
    if (Array.isArray(v)) return this.array(v);
    if (v instanceof Pending) { this.byte(PENDING); return this.u32(v.id); }
    if (v instanceof Date) return this.date(timeOf(v));
    if (v instanceof Error) { this.byte(ERROR); return this.fields(errorFields(v)); }
    if (isPlain(v)) return this.fields(v);
    this.reference(v);
  }
  date(ms) {
    if (ms !== ms) throw new RangeError("an invalid Date cannot be a Go time");
    this.number(DATE, ms);
  }
  array(v) {
    const n = v.length;
    if (n >>> 0 !== n) throw new TypeError("an array without a proper length");
    this.count(ARRAY, n);
    this.deeper();
    for (let i = 0; i < n; i++) this.value(v[i]); // a hole is undefined
    this.depth--;
  }
  fields(v) {
    const keys = Object.keys(v);
    this.count(OBJECT, keys.length);
    this.deeper();
    for (const k of keys) { this.string(k); this.value(v[k]); }
    this.depth--;
  }
  deeper() { if (++this.depth > MAX_DEPTH) throw new RangeError(`a value that is nested more than ${MAX_DEPTH} deep, or contains itself`); }

  // reference: any other value stays in JavaScript, and Go holds its number.
  reference(v) {
    const ref = this.context.hold(v instanceof ByRef ? v.target : v);
    this.held.push(ref);
    this.byte(REF);
    this.u32(ref);
  }
}

const foreign = "capdo: JavaScript does not understand a value from Go; app.wasm and the modules beside it come from different builds";

// Reader decodes values from Go's memory. It never reads beyond the bytes that
// Go wrote, except the strings and bytes whose place Go gives.
export class Reader {
  decode(context, memory, view, start, length) {
    this.u8 = memory;
    this.view = view;
    this.pos = start;
    this.end = start + length;
    this.context = context;
    const v = this.value();
    if (this.pos !== this.end) throw new Error(foreign);
    return v;
  }

  take(n) {
    const at = this.pos;
    if ((this.pos = at + n) > this.end) throw new Error(foreign);
    return at;
  }
  value() {
    switch (this.u8[this.take(1)]) {
      case UNDEFINED: return undefined;
      case NULL: return null;
      case FALSE: return false;
      case TRUE: return true;
      case NUMBER: return this.view.getFloat64(this.take(8), true);
      case INT: return this.view.getInt32(this.take(4), true);
      case STRING: return this.string();
      case BYTES: { const n = this.count(), at = this.take(n); return this.u8.slice(at, at + n); }
      case ARRAY: {
        const list = [];
        for (let n = this.count(); n > 0; n--) list.push(this.value());
        return list;
      }
      case OBJECT: return this.fields();
      case DATE: return new Date(this.view.getFloat64(this.take(8), true));
      case BIGINT: return BigInt(this.string());
      case REF: return this.context.refs[this.count()];
      case ERROR: this.take(1); return toError(this.fields());
      case STRING_PLACE: return decoder.decode(this.place());
      case BYTES_PLACE: return this.place().slice();
    }
    throw new Error(foreign);
  }
  place() {
    const at = this.count(), end = at + this.count();
    if (end > this.u8.length) throw new Error(foreign);
    return this.u8.subarray(at, end);
  }
  count() { return this.view.getUint32(this.take(4), true); }
  string() {
    const n = this.count(), at = this.take(n), end = at + n;
    if (n > 24) return decoder.decode(this.u8.subarray(at, end));
    let s = ""; // faster for short ASCII text
    for (let i = at; i < end; i++) {
      if (this.u8[i] > 127) return decoder.decode(this.u8.subarray(at, end));
      s += String.fromCharCode(this.u8[i]);
    }
    return s;
  }
  fields() {
    const o = {};
    for (let n = this.count(); n > 0; n--) { const k = this.string(); set(o, k, this.value()); }
    return o;
  }
}
