// A simple port: package syscall/js, and a separate Go runtime for the Worker
// and for each object.
import { DurableObject } from "cloudflare:workers";
import "./wasm_exec.js";
import program from "./app.wasm";

const programs = new Set(); // programs whose memory is counted

// start runs a program; the program stores a function in seat.serve.
function start(seat) {
  const go = new Go();
  go.argv = ["js", seat.role];
  const instance = new WebAssembly.Instance(program, go.importObject);
  globalThis.seat = seat; // the program reads it before it waits
  go.run(instance);
  programs.add(new WeakRef(instance));
  return seat;
}

class Base extends DurableObject {
  constructor(state, env) {
    super(state, env);
    this.go = start({ role: new.target.name, state, env });
  }
  fetch(request) { return this.go.serve(request); }
  alarm() { return this.go.alarm(); }
}
export class Dedupe extends Base {}
export class Ledger extends Base {}
export class Thing extends Base {
  webSocketMessage(ws, data) { ws.send(data); }
}

let worker = null;

// memory returns the memory of all programs that were not garbage-collected
// yet.
function memory() {
  let sum = 0;
  for (const p of programs) sum += p.deref()?.exports.mem.buffer.byteLength ?? 0;
  return sum;
}

export default {
  fetch(request, env) {
    if (request.url.endsWith("/memory")) return Response.json(memory());
    worker ??= start({ role: "Worker", env });
    return worker.serve(request, env);
  },
};
