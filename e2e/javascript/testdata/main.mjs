// The JavaScript side of the RPC tests: a Worker that calls a Go class, and a
// class that Go calls.
import { DurableObject } from "cloudflare:workers";
import * as entry from "./entry.mjs";
import { goThere } from "./clone.mjs";
export const { Ledger } = entry;

export class Abacus extends DurableObject {
  sum(numbers) { return numbers.reduce((a, b) => a + b, 0); }
  big() { return 2n ** 60n; }
  fail() { throw Object.assign(new RangeError("too far"), { code: 7 }); }
  map() { return new Map([["a", 1]]); }
  floats() { return { "a b": [new Float64Array(2)] }; }
  echo(v) { return v; }
}

const plain = (v) => typeof v === "bigint" ? `${v}n` : v instanceof Uint8Array || v instanceof ArrayBuffer ? [...new Uint8Array(v)] : v;

async function callGo(stub) {
  const payment = { id: "p", amount: 21, at: new Date(5), raw: new Uint8Array([0, 255]), tags: ["é"], labels: { x: 1 }, parent: null, unknown: 1 };
  const calls = [stub.add(2, 40), stub.add(2n ** 60n, 1n), stub.double(payment), stub.add("2", 40), stub.decline(), stub.nothing()];
  const results = await Promise.allSettled(calls);
  return results.map(({ value, reason }) => reason ? { name: reason.name, message: reason.message, code: reason.code } : value);
}

export default {
  async fetch(request, env, ctx) {
    const path = new URL(request.url).pathname, stub = env.LEDGER.getByName("a");
    if (path === "/clone") return Response.json(await goThere((v) => stub.echo(v)));
    if (path === "/kept") return Response.json(await goThere((v) => stub.keep(v)));
    if (path !== "/js") return entry.default.fetch(request, env, ctx);
    const results = await callGo(stub);
    return new Response(JSON.stringify(results, (key, v) => plain(v)));
  },
};
