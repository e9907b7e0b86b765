// What the explorer explores. scenarios make one at random; small ones are explored in all orders.

const many = (n, f) => Array.from({ length: n }, (_, i) => f(i));

// calls of clients, some to the stateless Worker and some straight to an object.
function calls(pick, generate, faults = []) {
  return many(2 + pick(4), () => {
    const to = pick(3) === 0 ? String(pick(3)) : null;
    return { to, leaves: true, script: generate(pick, { object: to !== null, faults }) };
  });
}

export const scenarios = {
  calm: (pick, generate) => ({ calls: calls(pick, generate), delays: true }),
  punctual: (pick, generate) => ({ calls: calls(pick, generate), delays: false }),
  evictions: (pick, generate) => ({ calls: calls(pick, generate), delays: true, faults: ["evict", "evict", "evict"] }),
  resets: (pick, generate) => ({ calls: calls(pick, generate), delays: true, mayFail: true, faults: ["reset", "reset", "evict"] }),
  departures: (pick, generate) => ({ calls: calls(pick, generate, ["untilGone"]), delays: true, mayFail: true, faults: ["leave", "leave", "reset"] }),
  failures: (pick, generate) => ({ calls: calls(pick, generate, ["panic", "fail", "abort"]), delays: true, mayFail: true, faults: ["evict"] }),
  crashes: (pick, generate) => ({ calls: calls(pick, generate, ["crash", "exit", "abort"]), delays: true, mayFail: true, faults: ["construct", "construct", "evict"] }),
  bodies: (pick, generate) => ({
    calls: [...calls(pick, generate), ...many(1 + pick(2), () => ({ to: null, leaves: true,
      script: pick(2) ? ["refuse"] : ["body", pick(6), [1, 50, 3000][pick(3)], "task", generate(pick, { depth: 1 })] }))],
    delays: true, mayFail: true, faults: ["leave"],
  }),
  stuck: (pick, generate) => ({ calls: [...calls(pick, generate), { to: null, script: ["forever"] }], delays: true, mayFail: true }),
};

export const small = {};
