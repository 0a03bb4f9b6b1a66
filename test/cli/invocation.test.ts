import { expect, test } from "bun:test";
import { invocation } from "../../src/cli/invocation.ts";

const rows: [argv0: string, config: string | undefined, said: string][] = [
  ["./codex-proxy", undefined, "./codex-proxy"],
  ["codex-proxy", "config.yaml", "codex-proxy"],
  ["C:\\tools\\codex-proxy.exe", undefined, "C:\\tools\\codex-proxy.exe"],
  ["/opt/codex-proxy-linux", "/etc/proxy.yaml", "/opt/codex-proxy-linux -config /etc/proxy.yaml"],
  ["./codex-proxy", "my config.yaml", './codex-proxy -config "my config.yaml"'],
  ["/usr/bin/bun", undefined, "codex-proxy"],
];
test.each(rows)("called as %s with %s", (argv0, config, said) => {
  expect(invocation(argv0, config)).toBe(said);
});
