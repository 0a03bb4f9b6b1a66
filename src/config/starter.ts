import { comment, exampleOf } from "./describe.ts";
import type { Key } from "./schema.ts";

/** What a first configuration says that is no default. */
export type Starter = { readonly listen: string; readonly key: string };

/** The text of a first config.yaml: safe, short, and with a word on each key. */
export function starterYaml({ listen, key }: Starter): string {
  const parts = [
    comment(
      "codex-proxy: a configuration to begin with. A line that begins with # is not in effect. Every key that is not here has its default, and docs/CONFIGURATION.md tells all of them. A change of this file takes effect while the proxy runs, but for keys that say otherwise.",
    ),
    [...remarksOn("listen"), `listen: ${JSON.stringify(listen)}`],
    [
      ...comment(
        "Keys that callers must show, one of them each. This one was made at random for you. Without any, everybody who reaches the port may use your accounts.",
      ),
      "api-keys:",
      `  - ${JSON.stringify(key)}`,
    ],
    ...OFFERED.map((name) => exampleOf(name).map(commentedOut)),
  ];
  return `${parts.map((lines) => lines.join("\n")).join("\n\n")}\n`;
}

/** What people ask for first. */
const OFFERED: readonly Key[] = ["admin-key", "auth-dir", "proxy-url", "max-conns-per-host"];

function remarksOn(key: Key): readonly string[] {
  return exampleOf(key).filter((line) => line.startsWith("#"));
}

function commentedOut(line: string): string {
  return line.startsWith("#") ? line : `# ${line}`;
}
