// Every kind of value that structured clone supports, sent to Go and back.

const shared = { a: 1 }, cycle = {};
cycle.self = cycle;
const sparse = [1, , 3];
const named = Object.assign([1], { name: 2 });
const invalid = new Date(NaN);
const nested = (n) => n === 0 ? null : [nested(n - 1)];
const lone = "\ud800";

// values are functions, because a view of a buffer can be sent only once.
export const values = {
  "undefined": () => undefined, "null": () => null, "true": () => true, "false": () => false,
  "0": () => 0, "-0": () => -0, "1.5": () => 1.5, "2^53-1": () => 2 ** 53 - 1, "2^53": () => 2 ** 53, "1e300": () => 1e300, "5e-324": () => 5e-324,
  "NaN": () => NaN, "Infinity": () => Infinity, "-Infinity": () => -Infinity,
  "0n": () => 0n, "-5n": () => -5n, "a BigInt of 53 bits": () => 2n ** 53n - 1n, "a BigInt of 63 bits": () => 2n ** 63n - 1n,
  "-2^63 as a BigInt": () => -(2n ** 63n), "a BigInt of 64 bits": () => 2n ** 64n - 1n, "a BigInt of 100 bits": () => -(2n ** 99n),
  "a BigInt of 20,000 bits": () => 2n ** 20_000n,
  "an empty string": () => "", "a string": () => "é😀\0", "a lone surrogate": () => lone, "a lone surrogate as a key": () => ({ [lone]: 1 }),
  "a Date": () => new Date(5), "a Date before 1970": () => new Date(-1), "the last Date": () => new Date(8.64e15), "an invalid Date": () => invalid,
  "an empty Array": () => [], "an Array": () => [1, "a", null], "a sparse Array": () => sparse, "an Array with a property": () => named,
  "500 levels": () => nested(499), "501 levels": () => nested(501),
  "an empty object": () => ({}), "an object": () => ({ a: 1, "b c": [true] }), "an object with undefined": () => ({ a: undefined }),
  "keys that mean something": () => JSON.parse('{"__proto__":1,"constructor":2,"then":3,"toJSON":4,"":5,"0":6}'),
  "an object without a prototype": () => Object.assign(Object.create(null), { a: 1 }),
  "an object that occurs twice": () => [shared, shared], "a cycle": () => cycle,
  "a boxed Boolean": () => new Boolean(false), "a boxed Number": () => new Number(1), "a boxed String": () => new String("a"), "a boxed BigInt": () => Object(1n),
  "a RegExp": () => /a/g, "a Map": () => new Map([[1, 2]]), "a Set": () => new Set([1]), "an Error": () => new Error("m"), "a TypeError": () => new TypeError("m"),
  "an Error in a list": () => [new RangeError("m")],
  "an ArrayBuffer": () => new Uint8Array([0, 255]).buffer, "an empty ArrayBuffer": () => new ArrayBuffer(0),
  "a Uint8Array": () => new Uint8Array([0, 255]), "a part of a Uint8Array": () => new Uint8Array([1, 2, 3]).subarray(1),
  "a Uint8ClampedArray": () => new Uint8ClampedArray(2), "an Int8Array": () => new Int8Array(2), "an Int16Array": () => new Int16Array(2),
  "a Uint16Array": () => new Uint16Array(2), "an Int32Array": () => new Int32Array(2), "a Uint32Array": () => new Uint32Array(2),
  "a Float32Array": () => new Float32Array(2), "a Float64Array": () => new Float64Array(2), "a BigInt64Array": () => new BigInt64Array(2),
  "a BigUint64Array": () => new BigUint64Array(2), "a DataView": () => new DataView(new ArrayBuffer(2)),
  "a SharedArrayBuffer": () => new SharedArrayBuffer(2), "a Blob": () => new Blob(["a"]), "a File": () => new File(["a"], "f"),
  "a Symbol": () => Symbol("s"), "a function": () => () => 1, "an instance of a class": () => new (class Point { x = 1; })(),
  "a WeakMap": () => new WeakMap(), "Headers": () => new Headers({ a: "b" }), "a URL": () => new URL("http://a/"),
};

// show formats a value with its type.
function show(v) {
  if (Object.is(v, -0)) return "-0";
  if (typeof v === "bigint") return `${v}n`;
  if (typeof v === "string") return JSON.stringify(v);
  if (typeof v !== "object" || v === null) return String(v);
  if (v instanceof Date) return `Date(${v.getTime()})`;
  if (v instanceof ArrayBuffer) return `ArrayBuffer(${new Uint8Array(v)})`;
  if (v instanceof Uint8Array) return `Uint8Array(${v})`;
  if (Array.isArray(v)) return `[${Array.from(v.keys(), (i) => i in v ? show(v[i]) : "hole")}]${v.name ?? ""}`;
  const fields = Object.keys(v).sort().map((k) => `${JSON.stringify(k)}:${show(v[k])}`);
  return `${v.constructor?.name === "Object" || typeof v.constructor !== "function" ? "" : v.constructor.name}{${fields}}`;
}

// goThere sends all values, one after another, and returns what each became.
export async function goThere(echo) {
  const verdicts = {};
  for (const [name, make] of Object.entries(values)) {
    try {
      const v = make(), got = await echo(v);
      const isSame = show(got) === show(v) && (name !== "an object that occurs twice" || got[0] === got[1]);
      verdicts[name] = isSame ? "kept" : `became ${show(got)}`;
    } catch (e) {
      verdicts[name] = `refused: ${e.message}`;
    }
  }
  return verdicts;
}
