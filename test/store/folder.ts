import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const made: string[] = [];

/** An empty folder of this test's own, removed at the end of the run. */
export function makeFolder(): string {
  const dir = mkdtempSync(join(tmpdir(), "codex-proxy-store-"));
  made.push(dir);
  return dir;
}

/** Removes all of them. */
export function removeFolders(): void {
  for (const dir of made.splice(0)) rmSync(dir, { recursive: true, force: true });
}
