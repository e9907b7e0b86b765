// Starts a program without workerd and asks it what it registers: node
// describe.mjs OUTPUT. capdo build runs this in the build folder.
import { readFileSync, writeFileSync } from "node:fs";
import { Runtime } from "./runtime.mjs";

const program = new WebAssembly.Module(readFileSync(new URL("app.wasm", import.meta.url)));
let description;
try {
  description = new Runtime(program).describe();
  if (!description) throw new Error("main waits for something before it calls durable.Run");
} catch (e) {
  console.error(e.message);
  process.exit(1);
}
writeFileSync(process.argv[2], JSON.stringify(description));
process.exit(0); // Go waits for events that will not come
