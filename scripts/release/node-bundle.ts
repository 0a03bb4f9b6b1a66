// The program as one text for Node, for the platforms that Bun cannot compile for.

import { join } from "node:path";
import type { BunPlugin } from "bun";
import { EMBEDDED_AS } from "../../src/dashboard/assets.ts";
import { bundlePage } from "../../src/dashboard/bundle.ts";
import type { BuildInfo } from "../build.ts";

const ROOT = join(import.meta.dirname, "../..");

/** The bundler of the dashboard, which only who runs from source needs, and Bun alone has. */
const PAGE_BUNDLER = /[\\/]src[\\/]dashboard[\\/]bundle\.ts$/;

const forNode: BunPlugin = {
  name: "for Node",
  setup: (build) => {
    build.onLoad({ filter: PAGE_BUNDLER }, () => ({
      contents: `export const bundlePage = () => Promise.reject(new Error("the dashboard is embedded"));`,
      loader: "js",
    }));
  },
};

/**
 * The whole program, dashboard and all, as one CommonJS text for Node 18.20 and later. The same sources make the same
 * text, wherever they lie.
 * @throws Error with what the bundler says, where a source is broken
 */
export async function bundleForNode(info: BuildInfo): Promise<string> {
  const built = await Bun.build({
    entrypoints: [join(ROOT, "src/main.ts")],
    root: ROOT,
    target: "node",
    format: "cjs",
    minify: true,
    define: {
      BUILD_VERSION: JSON.stringify(info.version),
      BUILD_COMMIT: JSON.stringify(info.commit),
      EMBEDDED_FILES: JSON.stringify(await embeddedFiles()),
    },
    plugins: [forNode],
    throw: false,
  });
  const [output] = built.outputs;
  if (!built.success || output === undefined) {
    throw new Error(`the bundle for Node: ${built.logs.map(String).join("\n")}`);
  }
  return output.text();
}

/** What the program has inside it, as src/platform/node/embedded.ts reads it. */
async function embeddedFiles(): Promise<string> {
  const lines = [...(await bundlePage())].map(
    ([name, bytes]) => `${EMBEDDED_AS}/${name} ${Buffer.from(bytes).toString("base64")}`,
  );
  return lines.join("\n");
}

if (import.meta.main) {
  const path = join(ROOT, "dist", "codex-proxy.cjs");
  // To be tested; what is released is made by scripts/release.ts.
  await Bun.write(path, await bundleForNode({ version: "0.0.0", commit: "unknown" }));
  console.log(`node-bundle: ${path}`);
}
