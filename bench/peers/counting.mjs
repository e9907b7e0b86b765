// capdo.mjs with a counter. It counts how often JavaScript enters Go, and how
// often Go calls JavaScript, for the Worker and for objects.
import worker from "./entry.mjs";
import { Runtime } from "./runtime.mjs";
export * from "./entry.mjs";

let counts = {};
const count = (context, what) => {
  const key = `${context?.state ? "object" : "worker"} ${what}`;
  counts[key] = (counts[key] ?? 0) + 1;
};

const { enter, boundaryImports } = Runtime.prototype;
Runtime.prototype.enter = function (context, name, ...args) {
  count(context, `> ${name.replace("capdo_", "")}`);
  return enter.call(this, context, name, ...args);
};
Runtime.prototype.boundaryImports = function () {
  const imports = boundaryImports.call(this), counting = { ...imports };
  for (const name of Object.keys(imports)) {
    if (name === "intern") continue;
    counting[name] = (id, ref, method, get, ...rest) => {
      const what = name === "call" && method >= 0 ? `${get ? "get" : "call"} ${this.names[method]}` : name;
      count(this.contexts.get(id), `< ${what}`);
      return imports[name](id, ref, method, get, ...rest);
    };
  }
  return counting;
};

export default {
  fetch(request, env, execution) {
    if (!request.url.endsWith("/crossings")) return worker.fetch(request, env, execution);
    const answer = Response.json(counts);
    counts = {};
    return answer;
  },
};
