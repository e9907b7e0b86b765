// A Worker without Go. Each request tries one rule of "What workerd does" in
// internal/jsrt/PROTOCOL.md and answers with the result.
import { DurableObject } from "cloudflare:workers";
import unsafe from "workerd:unsafe";
import call from "./call.wasm";

// State that outlives I/O contexts.
const kept = { seen: [] };
const see = (what) => { kept.seen.push(what); };
const after = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
// message returns the error with which a promise fails.
const message = (p) => p.then(() => "nothing failed", (e) => `${e.message}${e.durableObjectReset ? " (reset)" : ""}`);

class Box {
  withResolvers() {
    const { promise, resolve } = Promise.withResolvers();
    this.resolve = resolve;
    return promise;
  }
  construct() { return new Promise((resolve) => { this.resolve = resolve; }); }
}
const makers = [(box) => box.withResolvers(), (box) => box.construct()];

export class Object extends DurableObject {
  constructor(state, env) {
    super(state, env);
    this.state = state;
  }
  async keep() { globalThis.Object.assign(kept, { storage: this.state.storage, stub: this.env.OBJECT.getByName("other") }); }
  async useForeign() {
    const attempts = [() => kept.storage.get("k"), () => kept.storage.kv.get("k"), () => kept.stub.ping()];
    return Promise.all(attempts.map(async (f) => message((async () => f())())));
  }
  ping() { return "pong"; }

  // wait awaits a promise that another context resolves. It answers whether its
  // own I/O works afterwards.
  async wait() {
    await new Promise((resolve) => { kept.resolve = resolve; });
    see("continued");
    this.state.storage.kv.put("k", 1);
    return "my storage works";
  }
  // waitOptimized is wait with a promise made in a function that V8 has
  // optimized.
  async waitOptimized(how, rounds) {
    const make = makers[how], wait = async (box) => { await make(box); };
    for (let i = 0; i < rounds; i++) {
      const box = new Box();
      const waiting = wait(box);
      box.resolve();
      await waiting;
    }
    const box = new Box(), promise = make(box);
    kept.resolve = box.resolve;
    see("made");
    await promise;
    try {
      this.state.storage.kv.put("k", 1);
      return "my storage works";
    } catch {
      return "another context runs";
    }
  }
  async waitForTwo() {
    const wait = async (name) => {
      await new Promise((resolve) => { kept[name] = resolve; });
      see(name);
    };
    await Promise.all([wait("first"), wait("second")]);
  }
  resolveTwo() {
    kept.second();
    kept.first();
  }
  resolve() { kept.resolve(); }
  seen() { return kept.seen.splice(0); }

  arm(ms) { kept.timeout = setTimeout(() => { this.state.storage.kv.put("k", 1); see("timeout"); }, ms); }
  async clearForeign() { clearTimeout(kept.timeout); }

  // section blocks concurrency for the given time, with a timeout from before
  // and one of its own.
  async section(ms) {
    setTimeout(() => see("timeout from before"), 20);
    await this.state.blockConcurrencyWhile(async () => {
      setTimeout(() => see("own timeout"), 30);
      await this.env.OBJECT.getByName("other").ping();
      see("own I/O");
      await after(ms);
      see("the end");
    });
  }
  async transaction(ms) {
    await this.state.storage.transaction(async () => {
      await this.env.OBJECT.getByName("other").ping();
      await after(ms);
      see("the end");
    });
  }
  event() { see("event"); }
  async fail() { await this.state.blockConcurrencyWhile(async () => { throw new Error("as told"); }); }

  // add awaits between its read and its write.
  async add() {
    const n = await this.state.storage.get("n", { noCache: true }) ?? 0;
    await this.state.storage.put("n", n + 1, { noCache: true });
    return n + 1;
  }

  // clock computes for longer than its timeout, and returns how far its clocks
  // advanced.
  clock() {
    const start = Date.now(), before = performance.now();
    setTimeout(() => {}, 20);
    for (let i = 0; i < 3e8; i++) kept.n = i;
    return [Date.now() - start, performance.now() - before];
  }

  // hold stays open for the given time.
  async hold(ms) {
    setTimeout(() => see("timeout"), Math.min(ms, 300));
    try {
      await after(ms);
    } finally {
      see("finally");
    }
  }
  instance() { return this.born ??= Math.random(); }
  abort() {
    this.state.storage.kv.put("k", "nobody knows");
    try {
      this.state.abort("as told");
    } finally {
      see("finally");
    }
  }
  get() { return this.state.storage.kv.get("k") ?? null; }

  // terminate ends JavaScript while WebAssembly is on the stack.
  terminate() {
    const { exports } = new WebAssembly.Instance(call, { e: { f: () => this.state.abort("as told") } });
    kept.isInside = true;
    try {
      exports.f();
    } catch {
      see("catch");
    } finally {
      see("finally");
    }
    kept.isInside = false;
  }
  isInside() { return kept.isInside; }
}

export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url), [, method, ...args] = url.pathname.split("/");
    const stub = env.OBJECT.getByName(url.searchParams.get("o") ?? "a");
    switch (method) {
      case "hang": return new Promise(() => {});
      case "hangWithTimeout":
        setTimeout(() => kept.answer(new Response("answered by a timeout")), 300);
        return new Promise((resolve) => { kept.answer = resolve; });
      case "abortAll":
        await unsafe.abortAllDurableObjects();
        return new Response("null");
      case "evict": return Response.json(await message(unsafe.evict(stub)));
      case "after": // after the answer
        ctx.waitUntil(after(300).then(() => see("after the answer")));
        return new Response("null");
    }
    try {
      return Response.json(await stub[method](...args.map(Number)) ?? null);
    } catch (e) {
      return Response.json(`${e.message}${e.durableObjectReset ? " (reset)" : ""}`, { status: 500 });
    }
  },
};
