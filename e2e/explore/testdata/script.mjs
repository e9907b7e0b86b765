// Scripts for worker/main.go: their encoding, and random scripts.

const OPS = ["sleep", "lock", "call", "callWithin", "add", "get", "transact", "section", "transaction", "task", "spawn", "wait", "signal",
  "panic", "crash", "exit", "spin", "abort", "untilGone", "fail", "hostile", "collect", "callback", "refuse", "body", "forever"];

const short = (n) => [n >> 8, n & 255];

// The arguments of each operation: b is a byte, s two bytes, B a block.
const FORMS = { sleep: "s", lock: "bB", call: "bB", callWithin: "bsB", transact: "B", section: "B", transaction: "B", task: "B", spawn: "B",
  wait: "bs", signal: "b", hostile: "b", body: "bs" };

// encode encodes a list like ["sleep", 5, "lock", 0, ["add"]].
export function encode(list) {
  const out = [];
  for (let i = 0; i < list.length;) {
    const op = list[i++];
    if (!OPS.includes(op)) throw new Error(`no operation ${op}`);
    out.push(OPS.indexOf(op));
    for (const form of FORMS[op] ?? "") {
      const v = list[i++];
      if (form === "b") out.push(v);
      else if (form === "s") out.push(...short(v));
      else {
        const block = encode(v);
        out.push(...short(block.length), ...block);
      }
    }
  }
  return Uint8Array.from(out);
}

// adds counts what a script adds to each object: at least, if it has succeeded,
// and at most.
export function adds(list, at, sure = true, sums = { least: {}, most: {} }) {
  for (let i = 0; i < list.length;) {
    const op = list[i++], args = list.slice(i, i += (FORMS[op] ?? "").length), block = args.at(-1);
    if (op === "add" && at !== null) {
      sums.most[at] = (sums.most[at] ?? 0) + 1;
      if (sure) sums.least[at] = (sums.least[at] ?? 0) + 1;
    }
    if (!Array.isArray(block)) continue;
    const isSure = sure && !["callWithin", "task", "spawn"].includes(op) && !(op === "transact" && block.some((o) => o !== "add"));
    adds(block, op === "call" || op === "callWithin" ? String(args[0]) : at, isSure, sums);
  }
  return sums;
}

export function has(list, ...ops) { return list.some((v) => Array.isArray(v) ? has(v, ...ops) : ops.includes(v)); }

// generate makes a random script. It ends whatever other scripts do: the holder
// of a lock never waits for a script that could want it.
export function generate(pick, { object = false, depth = 0, holds = false, section = false, transaction = false, inner = false, faults = [] } = {}) {
  const list = [], n = 1 + pick(depth === 0 ? 4 : 3), deeper = (o = {}) => generate(pick, { object, depth: depth + 1, holds, section, transaction, inner, faults, ...o });
  const time = () => [1, 5, 20, 50, 120, 700, 1500][pick(inner || section ? 4 : 7)];
  for (let i = 0; i < n; i++) {
    const ops = ["add", "add", "sleep", "signal", "hostile"];
    if (!inner) ops.push("get", "wait");
    if (!inner && !section) ops.push("callback");
    if (depth < 3 && !holds && !section) ops.push("call", "call", "callWithin", "lock", "lock");
    if (depth < 3 && !inner && !transaction) ops.push("inner");
    if (depth < 3 && object && !section && !inner) ops.push("section", "transaction");
    if (depth < 3 && object) ops.push("transact");
    if (depth < 2 && !holds && !section) ops.push("task", "spawn");
    if (pick(12) === 0) ops.push("collect", ...faults, ...faults);
    const op = ops[pick(ops.length)];
    switch (op) {
      case "sleep": list.push(op, time()); break;
      case "lock": list.push(op, pick(2), deeper({ holds: true })); break;
      case "inner": list.push("lock", 2 + pick(2), deeper({ holds: true, inner: true })); break;
      case "call": list.push(op, pick(3), deeper({ object: true })); break;
      case "callWithin": list.push(op, pick(3), time(), deeper({ object: true })); break;
      case "transact": list.push(op, pick(4) === 0 ? ["add", "sleep", 5, "add"] : ["add"]); break;
      case "section": list.push(op, deeper({ section: true })); break;
      case "transaction": list.push(op, deeper({ section: true, transaction: true })); break; // I/O of others waits, also that of a lock's holder
      case "task": case "spawn": list.push(op, deeper()); break;
      case "wait": list.push(op, pick(4), time()); break;
      case "signal": list.push(op, pick(4)); break;
      case "hostile": list.push(op, pick(7)); break;
      default: list.push(op);
    }
  }
  return list;
}
