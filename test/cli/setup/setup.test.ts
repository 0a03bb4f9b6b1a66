import { afterEach, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openSettings } from "../../../src/cli/settings.ts";
import { type SetupWish, setUp } from "../../../src/cli/setup/setup.ts";
import { systemClock } from "../../../src/wire/clock.ts";
import { makeFolder } from "../../store/folder.ts";

const KEY = "sk-0123456789abcdef";
const ends: (() => unknown)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** A proxy that answers for its models, and the port it is at. */
function serve(
  answer: () => Response = () => Response.json({ models: [{ slug: "gpt-9" }] }),
): number {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: answer });
  ends.push(() => server.stop(true));
  return server.port ?? 0;
}

async function run(config: string, wish: Partial<SetupWish> = {}, home = makeFolder()) {
  const path = join(home, "proxy.yaml");
  writeFileSync(path, config);
  const told: string[] = [];
  const print = (line: string): void => void told.push(line);
  const complain = (line: string): void => void told.push(`! ${line}`);
  const code = await setUp(
    await openSettings(path, {}, {}),
    { client: "codex", isWritten: false, url: undefined, ...wish },
    { print, complain },
    { place: { home, env: {} }, clock: systemClock, argv0: "./codex-proxy" },
  );
  return { code, told: told.join("\n"), home, path };
}

describe("setUp", () => {
  test("shows what to write, where, and how to have it written, and writes nothing", async () => {
    const port = serve();
    const { code, told, home, path } = await run(`listen: ":${port}"\napi-keys: ["${KEY}"]\n`);
    expect(code).toBe(0);
    expect(told).toContain("In ~/.codex/config.toml:");
    expect(told).toContain(`base_url = "http://127.0.0.1:${port}/v1"`);
    expect(told).toContain("In ~/.codex/.env, which only you should be able to read:");
    expect(told).toContain(`PROXY_API_KEY=${KEY}`);
    expect(told).toContain(`./codex-proxy -config ${path} setup codex --write`);
    expect(told).toEndWith("Then: codex");
    expect(() => readFileSync(join(home, ".codex", "config.toml"))).toThrow();
  });

  test("writes it, and does nothing the second time", async () => {
    const port = serve();
    const config = `listen: 127.0.0.1:${port}\napi-keys: ["${KEY}"]\n`;
    const { code, told, home } = await run(config, { isWritten: true });
    expect([code, told]).toEqual([0, expect.stringContaining("~/.codex/config.toml: written")]);
    expect(told).not.toContain(KEY);
    const again = await run(config, { isWritten: true }, home);
    expect(again.told).toContain("~/.codex/config.toml: has it already");
    expect(again.told).not.toContain("backup");
  });

  test("the models are the running proxy's", async () => {
    const port = serve();
    const { told } = await run(`listen: 127.0.0.1:${port}\n`, { client: "opencode" });
    expect(told).toContain('"model": "codex-proxy/gpt-9"');
  });

  test("what cannot be edited is left as it is and shown, with 1; the rest is written", async () => {
    const home = makeFolder();
    mkdirSync(join(home, ".codex"));
    writeFileSync(join(home, ".codex", "config.toml"), "broken =\n");
    const { code, told } = await run(
      `api-keys: ["${KEY}"]\nlisten: 127.0.0.1:${serve()}\n`,
      { isWritten: true },
      home,
    );
    expect(code).toBe(1);
    expect(told).toMatch(/! ~\/\.codex\/config\.toml is left as it is: it is not valid TOML/);
    expect(told).toContain('model_provider = "codex-proxy"');
    expect(told).toContain("~/.codex/.env: written");
    expect(readFileSync(join(home, ".codex", "config.toml"), "utf8")).toBe("broken =\n");
  });

  test("nobody there yet: it says how the proxy is started", async () => {
    const port = serve();
    for (const end of ends.splice(0)) end();
    const { code, told } = await run(`listen: 127.0.0.1:${port}\n`);
    expect([code, told]).toEqual([
      0,
      expect.stringMatching(/does not run yet: \.\/codex-proxy .* serve/),
    ]);
  });

  const strange: [name: string, said: RegExp, answer: () => Response][] = [
    [
      "a proxy with another key",
      /does not take the key/,
      () => Response.json({ error: {} }, { status: 401 }),
    ],
    ["another program", /is not this proxy/, () => new Response("<html>")],
  ];
  test.each(strange)("%s at that address is said", async (_name, said, answer) => {
    const { told } = await run(`listen: 127.0.0.1:${serve(answer)}\n`);
    expect(told).toMatch(said);
  });

  test("a client on another machine is led to the address that is named", async () => {
    const { told } = await run("listen: :8080\n", { url: `http://127.0.0.1:${serve()}/v1/` });
    expect(told).toMatch(/base_url = "http:\/\/127\.0\.0\.1:\d+\/v1"/);
    expect(told).toContain("everybody who reaches the port");
  });

  test("without a port that is known beforehand, and with a wrong configuration: 2", async () => {
    expect(await run("listen: 127.0.0.1:0\n")).toMatchObject({
      code: 2,
      told: expect.stringContaining("--url"),
    });
    expect(await run("max-retry: x\n")).toMatchObject({
      code: 2,
      told: expect.stringContaining("max-retry"),
    });
  });
});
