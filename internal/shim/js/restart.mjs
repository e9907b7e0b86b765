// Moves a Go test program from a workerd that is about to be killed to the next
// one. The state of an idle Go program is in its linear memory and its wasm
// globals (which capdo exec has exported), except for the JavaScript values
// that it holds by number. So a test continues after the kill, and its objects
// are loaded from disk.

import * as files from "./testfs.mjs";
import { Invocation } from "./context.mjs";

const globalsOf = (exports) => Object.entries(exports).filter(([, v]) => v instanceof WebAssembly.Global);

// places maps the JavaScript values that Go's standard library keeps to the
// property names that lead to them from globalThis.
function places() {
  const found = new Map();
  for (const name of Object.getOwnPropertyNames(globalThis)) {
    let v;
    try {
      v = globalThis[name];
    } catch {
      continue;
    }
    if (typeof v === "function" || (typeof v === "object" && v !== null)) found.set(v, [name]);
  }
  found.set(globalThis.fs.constants, ["fs", "constants"]);
  return found;
}

// freeze returns the program's state for a context as bytes: the length of the
// JSON, the JSON, and the memory. settled is the promise that lets the program
// continue when it settles. Other promises that it waits for in this context
// are lost.
export function freeze(rt, context, settled) {
  const { go } = rt, found = places();
  const values = go._values.slice(7).map((v) => {
    if (v === null || v === undefined || typeof v === "string") return { v };
    return { path: found.get(v) }; // without a path, it is garbage that a call of package syscall left for Go's collector
  });
  const [call] = context.calls.values();
  const json = new TextEncoder().encode(JSON.stringify({
    globals: globalsOf(rt.exports).map(([name, g]) => [name, String(g.value)]),
    values, refCounts: go._goRefCounts.map((n) => n === Infinity ? -1 : n ?? null), idPool: go._idPool,
    lastID: rt.lastID, lastTimer: rt.lastTimer, timers: [...rt.timers], names: rt.names,
    context: context.id, contexts: [...rt.contexts.keys()], call: call.id, refs: context.refs.length, unused: context.unused,
    tools: context.refs.indexOf(rt.tools), waiting: [...rt.waiting], settled, files: files.freeze(),
  }));
  const memory = new Uint8Array(rt.exports.mem.buffer);
  const out = new Uint8Array(4 + json.length + memory.length);
  new DataView(out.buffer).setUint32(0, json.length);
  out.set(json, 4);
  out.set(memory, 4 + json.length);
  return out;
}

export function parse(bytes) {
  const length = new DataView(bytes).getUint32(0);
  const state = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
  return { ...state, memory: new Uint8Array(bytes, 4 + length) };
}

// thaw replaces Go's run.
export function thaw(rt, instance, state) {
  const { go } = rt, { mem } = instance.exports;
  mem.grow((state.memory.length - mem.buffer.byteLength) / 65536);
  new Uint8Array(mem.buffer).set(state.memory);
  const globals = new Map(state.globals);
  for (const [name, g] of globalsOf(instance.exports)) g.value = typeof g.value === "bigint" ? BigInt(globals.get(name)) : Number(globals.get(name));
  go._inst = instance;
  go.mem = new DataView(mem.buffer);
  const carried = state.values.map(({ v, path }) => path ? path.reduce((o, k) => o[k], globalThis) : v === undefined ? {} : v);
  go._values = [NaN, 0, null, true, false, globalThis, go, ...carried];
  go._goRefCounts = state.refCounts.map((n) => n === -1 ? Infinity : n);
  go._idPool = state.idPool;
  go._ids = new Map([[0, 1], [null, 2], [true, 3], [false, 4], [globalThis, 5], [go, 6]]);
  carried.forEach((v, i) => { if (v !== null && v !== undefined) go._ids.set(v, i + 7); });
  go.exited = false;
  Object.assign(rt, { lastID: state.lastID, lastTimer: state.lastTimer, timers: new Map(state.timers), names: state.names });
  files.thaw(state.files);
}

const lost = () => Object.assign(new Error("Network connection lost."), { retryable: true });
const deadRef = new Proxy({}, { get() { throw lost(); } });

// resume continues the program in a new context. Everything that was in the old
// context or in an object is gone.
export function resume(rt, context, state) {
  rt.contexts.delete(context.id);
  context.id = state.context;
  rt.contexts.set(context.id, context);
  const host = context.refs[0];
  context.refs = Array(state.refs).fill(deadRef);
  context.refs[0] = host;
  context.refs[state.tools] = rt.tools;
  context.unused = state.unused;
  const call = new Invocation(context, state.call);
  context.calls.set(call.id, call);
  for (const id of state.contexts) if (id !== state.context) rt.enter({ id }, "capdo_close");
  for (const id of state.waiting) {
    rt.keep(context, id === state.settled ? undefined : lost(), id);
    rt.enter(context, "capdo_settle", id, context.encoded.get(id).size);
  }
  context.listen();
  rt.watch(context);
  return call.answer();
}
