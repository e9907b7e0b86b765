// A module for the main modules of tests.
let victim = null;
const now = performance.now.bind(performance);
performance.now = () => {
  const context = victim;
  victim = null;
  try {
    context?.abort("terminated in the middle of Go");
  } catch {
    victim = context; // Go computes for another context
  }
  return now();
};

// terminate ends an object while Go computes, like workerd does at a limit: Go's
// time.Now calls JavaScript.
export function terminate(ctx) { victim = ctx; }
