// Hostile values, made from a seed. A node is {v, fate, match}: the value;
// whether Go must accept it ("ok"), must refuse it ("refused"), or may do
// either; and whether Go's result is right. reads counts how often a counted
// property was read: at most once is allowed.

export class Random {
  constructor(seed) { this.state = seed >>> 0; }
  next() {
    this.state = this.state + 0x6d2b79f5 | 0;
    let t = Math.imul(this.state ^ this.state >>> 15, 1 | this.state);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
    return (t ^ t >>> 14) >>> 0;
  }
  below(n) { return this.next() % n; }
  pick(list) { return list[this.below(list.length)]; }
}

export const faults = []; // wrong reads
export const reading = { once: true }; // counted properties may be read only once

const same = (v) => (got) => Object.is(got, v);
const isBytes = (want) => (got) => got instanceof Uint8Array && got.length === want.length && got.every((b, i) => b === want[i]);
const ok = (v, match = same(v), stable = true) => ({ v, fate: "ok", match, stable });
const refused = (v, stable = false) => ({ v, fate: "refused", match: () => false, stable });
const either = (v, match = () => true) => ({ v, fate: "either", match, stable: false });
const join = (nodes) => nodes.some((n) => n.fate === "refused") ? "refused" : nodes.some((n) => n.fate === "either") ? "either" : "ok";

const SIZES = [0, 1, 3, 23, 24, 25, 26, 100, 1000, 4060, 4070, 4080, 4085, 4086, 4087, 4088, 4090, 4091, 4092, 4096, 4100, 5000, 16_383,
  16_384, 16_385, 70_000];
const UNITS = ["a", "\0", "\\", "é", "\u07ff", "€", "\ufeff", "\ufffd", "😀"];
const KINDS = [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array,
  BigInt64Array, BigUint64Array, DataView];

function text(r) {
  const n = r.pick(SIZES);
  if (r.below(2)) return "x".repeat(n);
  let s = "";
  const units = UNITS.slice(0, 1 + r.below(UNITS.length));
  while (s.length < n) s += r.pick(units);
  return s;
}
const fill = (r, bytes) => { for (let i = 0; i < bytes.length; i++) bytes[i] = r.next(); return bytes; };
const number = (r) => r.pick([0, -0, 1, -1, NaN, Infinity, -Infinity, 2 ** 53, -(2 ** 53), 5e-324, 1.7976931348623157e308, r.next(),
  r.next() / 7]);

// counted defines a property that reports a second read.
function counted(target, key, value, then) {
  let reads = 0;
  Object.defineProperty(target, key, {
    enumerable: true, configurable: true,
    get() {
      if (++reads > 1 && reading.once) faults.push(`property ${String(key)} was read ${reads} times`);
      then?.();
      return reads > 1 ? "changed" : value;
    },
  });
}

// ---- Leaves ----------------------------------------------------------------

const leaves = {
  undefined: () => ok(undefined, same(null)),
  null: () => ok(null),
  boolean: (r) => ok(r.below(2) === 1),
  number: (r) => ok(number(r)),
  string: (r) => ok(text(r)),
  loneSurrogate: (r) => refused(r.pick(["\ud800", "a\udc00b", "x".repeat(5000) + "\ud83d", "é".repeat(30) + "\udfff", "\udc00\ud800"]),
    true),
  bigint: (r) => {
    return ok(r.pick([0n, 7n, -1n, 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n), BigInt(r.next()) << 20n, 2n ** 63n, 2n ** 64n - 1n,
      -(2n ** 63n) - 1n, 1n << 70n, -(1n << 900n), 1n << 10_000n]));
  },
  hugeBigint: (r) => refused(r.pick([1n << 20_000n, -(1n << 90_000n)]), true),
  symbol: (r) => ok(r.pick([Symbol("s"), Symbol.iterator])),
  function: (r) => ok(r.pick([() => 1, function () {}, class {}, async () => {}, Math.max])),
  date: (r) => {
    const v = new Date(r.pick([0, -1, 8.64e15, -8.64e15, r.next() * 1000]));
    return ok(v, (got) => got instanceof Date && got.getTime() === v.getTime());
  },
  invalidDate: () => refused(new Date(NaN), true),
  lyingDate: (r) => {
    class Lying extends Date {
      getTime() { return 5; }
      valueOf() { return NaN; }
      [Symbol.toPrimitive]() { throw new Error("hostile"); }
    }
    const t = r.next(), v = new Lying(t);
    return ok(v, (got) => got instanceof Date && got.getTime() === t);
  },
  noDate: () => refused(Object.create(Date.prototype)),
  dateProxy: () => refused(new Proxy(new Date(), {})),
  promise: () => { const p = Promise.resolve(1); return ok(p, same(p)); },
  map: (r) => {
    class A { a = 1; }
    const v = r.pick([new Map([[1, 2]]), new Set([1]), /x/g, new A(), new URL("http://a/"), new WeakMap(), globalThis]);
    return ok(v, same(v));
  },
  impostor: (r) => { // has the prototype of another type
    const v = Object.create(r.pick([ArrayBuffer.prototype, Uint8Array.prototype, DataView.prototype, Array.prototype, Map.prototype]));
    counted(v, "length", r.pick([5, 1e6, -1, 2 ** 40]));
    return either(v, (got) => got === v);
  },
  revoked: (r) => {
    const { proxy, revoke } = Proxy.revocable(r.pick([{}, [], () => {}, new Date()]), {});
    revoke();
    return typeof proxy === "function" ? either(proxy, same(proxy)) : refused(proxy);
  },
  ...bytesOfAllKinds(),
  ...errors(),
};

function bytesOfAllKinds() {
  const own = (b) => b.slice();
  return {
    arrayBuffer: (r) => { const b = fill(r, new Uint8Array(r.pick(SIZES))); return ok(b.buffer, isBytes(own(b))); },
    view: (r) => {
      const b = fill(r, new Uint8Array(r.pick(SIZES) + 64)), C = r.pick(KINDS), size = C.BYTES_PER_ELEMENT ?? 1;
      const at = 8 * r.below(4), n = Math.floor((b.length - at - r.below(32)) / size), v = new C(b.buffer, at, n);
      return ok(v, C === Uint8Array ? isBytes(b.slice(at, at + n)) : same(v));
    },
    shared: (r) => { const v = new SharedArrayBuffer(r.pick(SIZES)); return ok(v); },
    viewOfShared: (r) => { const b = fill(r, new Uint8Array(new SharedArrayBuffer(r.pick(SIZES)))); return ok(b, isBytes(own(b))); },
    detached: (r) => {
      const buffer = new ArrayBuffer(r.pick(SIZES) + 8), C = r.pick(KINDS), v = r.below(2) ? buffer : new C(buffer, 0, 1);
      structuredClone(buffer, { transfer: [buffer] });
      return v === buffer || C === Uint8Array ? refused(v) : either(v, same(v));
    },
    lengthTracking: (r) => {
      const n = r.pick(SIZES), buffer = new ArrayBuffer(n, { maxByteLength: n + 70_000 }), b = fill(r, new Uint8Array(buffer));
      buffer.resize(n + r.pick([0, 1, 8, 40_000]));
      return ok(b, isBytes(own(b)));
    },
    outOfBounds: (r) => { // a view beyond the end of a shrunken buffer
      const buffer = new ArrayBuffer(64, { maxByteLength: 128 }), C = r.pick(KINDS), v = new C(buffer, 8, 4);
      buffer.resize(r.pick([0, 8, 9]));
      return either(v, C === Uint8Array ? isBytes([]) : same(v));
    },
    lyingView: (r) => { // its class contradicts the engine
      const n = r.pick(SIZES);
      class Lying extends Uint8Array {
        get length() { return n + 5000; }
        get byteLength() { return n + 100_000; }
        get byteOffset() { return 7; }
        get buffer() { return new ArrayBuffer(3); }
        get [Symbol.toStringTag]() { return "Uint8Array"; }
        get ["constructor"]() { throw new Error("hostile"); }
        *[Symbol.iterator]() { for (;;) yield 1; }
        subarray() { throw new Error("hostile"); }
        slice() { throw new Error("hostile"); }
      }
      const v = new Lying(n), bytes = fill(r, new Uint8Array(real.buffer(v)));
      return ok(v, isBytes(own(bytes)));
    },
    ownLength: (r) => { // has length and others as own properties
      const v = fill(r, new (r.pick([Uint8Array, Int8Array]))(r.pick(SIZES))), want = new Uint8Array(v.buffer.slice(0));
      for (const k of ["length", "byteLength", "byteOffset", "buffer"]) Object.defineProperty(v, k, { value: 1e6 });
      return ok(v, v instanceof Uint8Array ? isBytes(want) : same(v));
    },
    lyingDataView: (r) => {
      class Lying extends DataView {
        get byteLength() { return 1e6; }
        get buffer() { return null; }
        get byteOffset() { return -1; }
      }
      const b = fill(r, new Uint8Array(r.pick(SIZES)));
      const v = new Lying(b.buffer);
      return ok(v, same(v));
    },
    strayPrototype: (r) => { // bytes of another class
      const b = fill(r, new Uint8Array(r.pick(SIZES))), want = own(b);
      Object.setPrototypeOf(b, r.pick([null, Array.prototype, Error.prototype, Date.prototype, Object.prototype]));
      return ok(b, isBytes(want));
    },
    viewProxy: (r) => { const v = new Proxy(new (r.pick([Uint8Array, DataView]))(new ArrayBuffer(16)), {}); return ok(v); },
    bufferProxy: () => { const v = new Proxy(new ArrayBuffer(16), {}); return either(v, (got) => got === v); },
  };
}

function errors() {
  const isError = (name, message, props = {}) => (got) => got instanceof Error && (name === null || got.name === name) &&
    (message === null || got.message === message) &&
    Object.entries(props).every(([k, v]) => Object.is(Object.getOwnPropertyDescriptor(got, k)?.value, v));
  const error = (v, ...how) => ({ ...ok(v, isError(...how), false), isError: true });
  return {
    error: (r) => {
      const message = "m" + r.next(), C = r.pick([Error, TypeError, RangeError]), props = { retryable: true, code: "E", n: 1.5 };
      return error(Object.assign(new C(message), props, { deep: { a: 1 }, f() {}, symbol: Symbol("s"), big: 1n }), C.name, message, props);
    },
    errorOfProto: () => {
      const e = Object.defineProperty(new Error("m"), "__proto__", { value: "own", enumerable: true });
      return error(e, "Error", "m", { ["__proto__"]: "own" });
    },
    errorWithoutText: (r) => {
      const e = new Error("m"), bad = r.pick([undefined, null, 5, {}, [], Symbol("s"), 1n, { toString() { throw e; } }, { toString: null,
        valueOf: null }, Object.create(null), "\ud800", "x".repeat(100_000)]);
      Object.defineProperty(e, r.pick(["message", "name"]), { value: bad });
      return error(e, null, null);
    },
    throwingError: (r) => {
      const e = new Error("m"), bad = () => { throw e; };
      for (const k of ["message", "name", "stack", "cause", "code", "toString"]) {
        if (r.below(2)) Object.defineProperty(e, k, { get: bad, enumerable: true });
      }
      return error(e, null, null);
    },
    changingError: (r) => {
      let n = 0;
      const e = Object.defineProperty(new Error(), "message", { get: () => "m".repeat(20 * n++ + r.below(5)) });
      return error(e, null, null);
    },
    errorWithKeys: (r) => { // keys that throw, are not text, or are many
      const e = new Error("m");
      if (r.below(2)) for (let i = 0; i < 2000; i++) e["k" + i] = i;
      e["\ud800"] = 1;
      e[""] = r.pick(["\udc00", NaN, "x".repeat(20_000)]);
      return error(e, "Error", "m");
    },
    errorProxy: (r) => error(new Proxy(new Error("m"), r.pick([{}, { get() { throw new Error("hostile"); } },
      { ownKeys() { throw new Error("hostile"); } }])), null, null),
    errorWithoutError: () => error(Object.setPrototypeOf({ message: "m" }, Error.prototype), "Error", "m"),
  };
}

// ---- Containers ------------------------------------------------------------

const isList = (nodes) => (got) => Array.isArray(got) && got.length === nodes.length && nodes.every((n, i) => n.match(got[i]));
const isObject = (entries) => (got) => Object.getPrototypeOf(got) === Object.prototype && Object.keys(got).length === entries.length &&
  entries.every(([k, n]) => Object.hasOwn(got, k) && n.match(Object.getOwnPropertyDescriptor(got, k).value));
const isStable = (nodes) => nodes.every((n) => n.stable);
const keys = ["a", "b", "", "0", "length", "__proto__", "constructor", "toString", "é", "then "];

function children(r, depth, max = 6) { return Array.from({ length: r.below(max) }, () => generate(r, depth + 1)); }

function entriesOf(r, depth) {
  const names = new Set(Array.from({ length: r.below(6) }, () => r.below(4) ? r.pick(keys) : text(r).slice(0, 3000).toWellFormed()));
  return [...names].map((k) => [k, generate(r, depth + 1)]);
}
const define = (target, k, value) => Object.defineProperty(target, k, { value, enumerable: true, writable: true, configurable: true });

const composites = {
  array: (r, depth) => {
    const list = children(r, depth, 12);
    return { v: list.map((n) => n.v), fate: join(list), match: isList(list), stable: isStable(list) };
  },
  holes: (r, depth) => {
    const list = children(r, depth, 8), v = [], all = [];
    for (const n of list) {
      if (r.below(2)) { v.length++; all.push(leaves.undefined()); }
      v[v.length] = n.v;
      all.push(n);
    }
    v.length += 3;
    all.push(...Array.from({ length: 3 }, leaves.undefined));
    return { v, fate: join(all), match: isList(all), stable: isStable(all) };
  },
  manyHoles: (r) => {
    const v = [];
    v.length = r.pick([1, 100, 4000, 4100, 60_000]);
    return ok(v, (got) => got.length === v.length && got.every((e) => e === null));
  },
  hugeArray: (r) => { const v = []; v.length = r.pick([2 ** 32 - 1, 2 ** 31, 2 ** 22]); return refused(v); },
  lyingArray: (r, depth) => { // a proxy with a wrong length that changes
    const any = generate(r, depth + 1), node = any.stable ? any : leaves.string(r), n = r.below(5);
    let lengths = 0;
    const get = (_, k) => k === "length" ? n + 1000 * lengths++ : k === "then" || typeof k === "symbol" ? undefined : node.v;
    const v = new Proxy([], { get });
    const all = Array.from({ length: n }, () => node);
    return { v, fate: join(all), match: isList(all), stable: false };
  },
  wrongLength: (r) => {
    const length = r.pick([-1, 1.5, NaN, "2", 2 ** 32, Infinity, null, {}, { valueOf: () => 2 }, 1n, Symbol.iterator]);
    return refused(new Proxy([], { get: (_, k) => k === "length" ? length : undefined }));
  },
  growingArray: (r, depth) => { // changes while it is read
    const v = [0, 0, 0];
    counted(v, 1, "one", () => { if (r.below(2)) v.push(...new Array(5000)); else v.length = 0; });
    return either(v, (got) => got.length === 3 && got[0] === 0 && got[1] === "one" && (got[2] === 0 || got[2] === null));
  },
  subclass: (r, depth) => {
    class Lying extends Array {
      *[Symbol.iterator]() { for (;;) yield 1; }
      get [Symbol.toStringTag]() { return "Uint8Array"; }
      map() { throw new Error("hostile"); }
    }
    const list = children(r, depth), v = new Lying();
    for (const n of list) v[v.length] = n.v;
    return { v, fate: join(list), match: isList(list), stable: isStable(list) };
  },
  object: (r, depth) => {
    const entries = entriesOf(r, depth), v = r.below(3) ? {} : Object.create(null), nodes = entries.map(([, n]) => n);
    for (const [k, n] of entries) define(v, k, n.v);
    v[Symbol("s")] = 1;
    return { v, fate: join(nodes), match: isObject(entries), stable: isStable(nodes) };
  },
  getters: (r, depth) => { // change between two reads
    const entries = entriesOf(r, depth), v = {};
    for (const [k, n] of entries) counted(v, k, n.v);
    return { v, fate: join(entries.map(([, n]) => n)), match: isObject(entries), stable: false };
  },
  throwing: (r, depth) => {
    const v = r.below(2) ? {} : [generate(r, depth + 1).v], moody = new Proxy({}, { getPrototypeOf() { throw 1; } });
    const thrown = r.pick([leaves.throwingError(r).v, null, { message: { slice: 1 } }, "\ud800", moody, Object.assign(new Error(), { message: 7n })]);
    Object.defineProperty(v, "0", { enumerable: true, get() { throw thrown; } });
    return refused(v);
  },
  objectProxy: (r, depth) => {
    const inner = composites.object(r, depth), { ownKeys, getOwnPropertyDescriptor } = Reflect;
    return { ...inner, v: new Proxy(inner.v, r.below(2) ? {} : { ownKeys, getOwnPropertyDescriptor }), stable: false };
  },
  moodyProxy: (r) => { // returns another prototype each time
    const list = [Object.prototype, Array.prototype, Error.prototype, Date.prototype, ArrayBuffer.prototype, null];
    return either(new Proxy({}, {
      getPrototypeOf: () => r.pick(list),
      get: (_, k) => k === "then" ? undefined : r.pick([1, "x", undefined, () => {}]),
      ownKeys: () => r.pick([[], ["a"], ["a", "\ud800"]]),
      getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true, value: 1 }),
    }));
  },
  wrongKeys: () => { const v = { a: 1 }; v["\ud800"] = 2; return refused(v, true); },
  cycle: (r) => {
    const v = r.below(2) ? {} : [];
    v[0] = r.below(2) ? v : { again: [v] };
    return refused(v, true);
  },
  nested: (r) => {
    const n = r.pick([1, 100, 480, 520, 1000, 10_000]), kind = r.below(2);
    const bottom = r.pick([1, () => 1]);
    let v = bottom;
    for (let i = 0; i < n; i++) v = kind ? [v] : { v };
    if (n > 490) return refused(v, true);
    return ok(v, (got) => { for (let i = 0; i < n; i++) got = kind ? got[0] : got.v; return got === bottom; });
  },
  endless: () => { // each property creates another one
    const make = () => Object.defineProperty({}, "v", { enumerable: true, get: make });
    return refused(make());
  },
  resizing: (r) => { // a getter before or after the view resizes or detaches its buffer
    const n = r.pick([8, 100, 3000, 20_000, 60_000]), buffer = new ArrayBuffer(n, { maxByteLength: 200_000 }), b = fill(r,
      new Uint8Array(buffer)), want = b.slice(), v = {};
    const change = r.pick([() => buffer.resize(0), () => buffer.resize(n >> 1), () => buffer.resize(n + 100_000),
      () => structuredClone(buffer, { transfer: [buffer] })]);
    const view = r.pick([b, buffer, new Uint8Array(buffer, 0, n)]);
    if (r.below(2)) {
      v.view = view;
      counted(v, "later", 1, change);
      return either(v, (got) => isBytes(want)(got.view));
    }
    counted(v, "before", 1, change);
    v.view = view;
    return either(v, (got) => got.view instanceof Uint8Array && got.view.every((x, i) => i >= n ? x === 0 : x === want[i]));
  },
  manyReferences: (r) => {
    const v = Array.from({ length: r.pick([10, 300, 3000]) }, () => () => 1);
    if (r.below(2)) return ok(v, (got) => v.every((f, i) => got[i] === f));
    v.push(r.pick(["\ud800", 1n << 20_000n, new Date(NaN)])); // refused at the end: no reference may remain
    return refused(v, true);
  },
};

const leafNames = Object.keys(leaves), compositeNames = Object.keys(composites);

// generate returns a random node.
export function generate(r, depth = 0) {
  const isLeaf = depth > 3 || r.below(10) < 4 + depth * 2, name = r.pick(isLeaf ? leafNames : compositeNames);
  const node = (isLeaf ? leaves : composites)[name](r, depth);
  node.name = name;
  return node;
}

// cloneable returns values that structured clone accepts, as hostile as
// possible. They can be stored and sent.
export function cloneable(r, depth = 0) {
  const names = ["undefined", "null", "boolean", "number", "string", "loneSurrogate", "bigint", "hugeBigint", "date", "invalidDate",
    "arrayBuffer", "view", "lengthTracking", "lyingView", "error", "errorWithoutText"];
  if (depth > 3 || r.below(3) === 0) return leaves[r.pick(names)](r).v;
  switch (r.below(8)) {
    case 0: return new Map([[1, cloneable(r, depth + 1)]]);
    case 1: { const v = [cloneable(r, depth + 1)]; v.length = r.pick([1, 5, 3000]); v.push(cloneable(r, depth + 1)); return v; }
    case 2: return composites.nested(r).v;
    case 3: return composites.cycle(r).v;
    case 4: case 5: return Object.fromEntries(Array.from({ length: r.below(6) }, () => [r.pick(keys), cloneable(r, depth + 1)]));
    case 6: return /x/g;
  }
  return Array.from({ length: r.below(8) }, () => cloneable(r, depth + 1));
}

// ---- Go and JavaScript must agree on these ---------------------------------

const utf8 = new TextEncoder();

function sum(b) {
  let h = 0x811c9dc5;
  const part = b.length > 4096 ? [...b.subarray(0, 2048), ...b.subarray(-2048)] : b;
  for (const x of part) h = Math.imul(h ^ x, 0x01000193) >>> 0;
  return h.toString(16).padStart(8, "0");
}

const view = new DataView(new ArrayBuffer(8));
function numberDump(n) {
  if (n !== n) return "nan";
  view.setFloat64(0, n);
  return `n${view.getBigUint64(0).toString(16).padStart(16, "0")}`;
}

// The real properties of a view, whatever its class claims.
const typedArray = Object.getPrototypeOf(Uint8Array.prototype), real = {};
for (const [k, name] of [["buffer", "buffer"], ["offset", "byteOffset"], ["length", "byteLength"]]) {
  real[k] = Function.prototype.call.bind(Object.getOwnPropertyDescriptor(typedArray, name).get);
}

const isProxyOfBuffer = (v) => { try { ArrayBuffer.prototype.slice.call(v, 0, 0); return false; } catch { return true; } };

// dump formats a value like dump in dump.go.
export function dump(v) {
  switch (typeof v) {
    case "undefined": return "N";
    case "boolean": return v ? "T" : "F";
    case "number": return numberDump(v);
    case "bigint": return `i${v}`;
    case "string": { const b = utf8.encode(v); return `s${b.length}:${sum(b)}`; }
    case "object": break;
    default: return "r";
  }
  if (v === null) return "N";
  if (v instanceof ArrayBuffer && !isProxyOfBuffer(v)) v = new Uint8Array(v);
  else if (ArrayBuffer.isView(v) && v instanceof Uint8Array) v = new Uint8Array(structuredClone(real.buffer(v)), real.offset(v), real.length(v));
  else if (ArrayBuffer.isView(v)) return "r";
  if (ArrayBuffer.isView(v)) return `b${v.length}:${sum(v)}`;
  if (v instanceof Date) return `d${Date.prototype.getTime.call(v)}`;
  if (v instanceof Error) return `e${dump({ ...v, name: String(v.name), message: String(v.message) })}`;
  if (Array.isArray(v)) return `[${Array.from(v, dump).join(",")}]`;
  const p = Object.getPrototypeOf(v);
  if (p !== Object.prototype && p !== null) return "r";
  return `{${Object.keys(v).map((k) => `${dump(k)}=${dump(v[k])}`).sort().join(",")}}`;
}
