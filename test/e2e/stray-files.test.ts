import { describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildIfMissing, runProgram } from "../support/proxy.ts";

describe("the executable, in a folder with files of another program's", () => {
  test("reads neither a .env nor a bunfig.toml", async () => {
    await buildIfMissing();
    const folder = await mkdtemp(join(tmpdir(), "codex-proxy-stray-"));
    try {
      const mark = join(folder, "preloaded");
      await writeFile(
        join(folder, "preload.ts"),
        `require("node:fs").writeFileSync(${JSON.stringify(mark)}, "");`,
      );
      await writeFile(join(folder, "bunfig.toml"), 'preload = ["./preload.ts"]\n');
      for (const name of [".env", ".env.local", ".env.production"]) {
        await writeFile(
          join(folder, name),
          "CODEX_PROXY_LISTEN=nonsense\nCODEX_PROXY_MAX_RETRY=x\n",
        );
      }
      const config = join(folder, "config.yaml");
      await writeFile(config, 'listen: "127.0.0.1:0"\n');
      const check = async (env: Readonly<Record<string, string>>) => {
        const program = runProgram(["check", "-config", config], { cwd: folder, env });
        return { exitCode: await program.exited, told: program.logs() };
      };
      const stray = await check({});
      expect(stray.told).not.toContain("nonsense");
      expect(stray.exitCode).toBe(0);
      expect(await readdir(folder)).not.toContain("preloaded");
      // The same line in the real environment is heard.
      const real = await check({ CODEX_PROXY_MAX_RETRY: "x" });
      expect(real.exitCode).not.toBe(0);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
