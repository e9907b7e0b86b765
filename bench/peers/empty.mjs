// An empty Go program that the first request starts. It shows the minimum cost
// of a cold start.
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
