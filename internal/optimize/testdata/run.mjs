// Runs each function of before.wasm and after.wasm, and compares what they do.
import { readFileSync } from "node:fs";

const MOST = 300; // events of a run
const SP = 1000;  // the stack pointer

// load returns a function that runs one of the module's functions. Answers
// depend only on the seed and on what has happened before. If a call unwinds
// the stack, the function is called again with the number of that call.
function load(file) {
  let events, random, number;
  const next = () => (random = (random * 1103515245 + 12345) & 0x7fffffff) >> 8;
  const event = (...v) => {
    events.push(v.join(" "));
    if (events.length === MOST) throw new Error("enough");
  };
  const env = {
    log: (n) => event("log", n),
    test: (n) => { event("test", n); return next() & 1; },
    call: (n) => { event("call", n); number = n; return next() % 3 === 0 ? 1 : 0; },
    sp: new WebAssembly.Global({ value: "i32", mutable: true }, SP),
    memory: new WebAssembly.Memory({ initial: 1 }),
  };
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(file)), { env });
  const run = (name, seed) => {
    [events, random] = [[], seed];
    new Uint8Array(env.memory.buffer, SP, 1000).fill(0);
    try {
      for (number = 0; exports[name](number) === 1;) event("continues");
    } catch (e) {
      events.push(e.message);
    }
    return events.join(", ");
  };
  return { names: Object.keys(exports), run };
}

const [before, after] = ["before", "after"].map((name) => load(`${process.argv[2]}/${name}.wasm`));
let differences = 0;
for (const name of before.names) {
  for (let seed = 1; seed <= 8; seed++) {
    const want = before.run(name, seed), got = after.run(name, seed);
    if (got !== want && differences++ < 3) console.log(`${name}, seed ${seed}: got\n${got}\nwant\n${want}`);
  }
}
console.log(`${before.names.length} functions, ${differences} differences`);
