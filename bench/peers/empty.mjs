// An empty Go program, which is started by the first request: what a cold start
// costs at least.
import "./wasm_exec.js";
import program from "./app.wasm";

let instance = null;

export default {
  fetch() {
    if (!instance) {
      const go = new Go();
      instance = new WebAssembly.Instance(program, go.importObject);
      go.run(instance);
    }
    return new Response("hello");
  },
};
