import { openStateFile, stateHead } from "../../src/store/state.ts";

// Writes the state file without end, for a test that kills it: `bun state-loop.ts FILE`.
const [path = ""] = process.argv.slice(2);
const file = openStateFile(path, Date.now);
for (let count = 1; ; count++) {
  const saved = await file.write(`{${stateHead},"filler":"${"x".repeat(300_000)}"}`);
  if (!saved.ok) throw new Error(saved.reason);
  process.stdout.write(`${count}\n`);
}
