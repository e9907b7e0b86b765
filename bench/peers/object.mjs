// A Worker in JavaScript, with the objects of the Go program: it shows what an
// object alone costs.
import worker from "./rpc.mjs";
import { stats } from "./shim.mjs";
export { Dedupe, Ledger, Thing } from "./entry.mjs";

export default {
  fetch(request, env, execution) {
    if (request.url.endsWith("/memory")) return Response.json(stats().memory);
    return worker.fetch(request, env, execution);
  },
};
