import { describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { TARGETS } from "../../scripts/release/targets.ts";
import { defaults, KEYS } from "../../src/config/schema.ts";
import { type Dict, dict, list } from "../../src/wire/json.ts";
import { buildIfMissing, PROGRAM } from "../support/proxy.ts";

const ROOT = join(import.meta.dirname, "../..");
const read = (path: string): Promise<string> => readFile(join(ROOT, path), "utf8");

/** A renewal that has begun is waited for, and running turns are: less than this would lose an answer. */
const STOP_SEC = defaults()["shutdown-timeout"] + defaults()["refresh-single-timeout-sec"];

const composed = async (): Promise<Dict> =>
  dict(parse(await read("docker-compose.yml"), { merge: true }));

const servicesOf = (compose: Dict): readonly (readonly [string, Dict])[] =>
  Object.entries(dict(compose["services"])).map(([name, service]) => [name, dict(service)]);

describe("what we ship to run the program with", () => {
  test("names only keys that there are", async () => {
    const known = KEYS.map((key) => `CODEX_PROXY_${key.toUpperCase().replaceAll("-", "_")}`);
    // The image's own name is no key.
    const others = ["CODEX_PROXY_IMAGE"];
    const files = [
      "Dockerfile",
      "docker-compose.yml",
      ".env.example",
      "docs/deploy/codex-proxy.service",
    ];
    for (const file of files) {
      const named = (await read(file)).match(/CODEX_PROXY_[A-Z][A-Z0-9_]*/g) ?? [];
      expect(named).not.toBeEmpty();
      expect(named.filter((name) => !known.includes(name) && !others.includes(name))).toEqual([]);
    }
  });

  test("composed: only the one port is published, and nobody shares a folder of accounts", async () => {
    const services = servicesOf(await composed());
    const profiles = new Set(services.flatMap(([, service]) => list(service["profiles"])));
    expect(profiles).toEqual(new Set(["files", "postgres"]));
    for (const profile of profiles) {
      const own = services.filter(([, service]) => list(service["profiles"]).includes(profile));
      const published = own.filter(([, service]) => service["ports"] !== undefined);
      expect(published).toHaveLength(1);
      expect(list(published[0]?.[1]["ports"]).map(String)).toEqual([
        expect.stringContaining("127.0.0.1:8080}:8080"),
      ]);
      const folders = own
        .flatMap(([, service]) => list(service["volumes"]).map(String))
        .filter((volume) => volume.endsWith(":/auths"));
      expect(folders).not.toBeEmpty();
      expect(new Set(folders).size).toBe(folders.length);
    }
  });

  test("composed: an instance can write nothing but its own folder, and has time to stop", async () => {
    const services = servicesOf(await composed());
    const instances = services.filter(([name]) => name.startsWith("codex-proxy"));
    expect(instances).toHaveLength(3);
    for (const [, service] of instances) {
      expect(service["read_only"]).toBe(true);
      expect(service["cap_drop"]).toEqual(["ALL"]);
      expect(Number.parseInt(String(service["stop_grace_period"]), 10)).toBeGreaterThan(STOP_SEC);
    }
  });

  test("composed: what must be said is asked for in .env.example", async () => {
    const compose = await read("docker-compose.yml");
    const asked = [...compose.matchAll(/\$\{([A-Z_]+):\?/g)].map(([, name]) => name);
    const example = await read(".env.example");
    expect(asked).toEqual(["CODEX_PROXY_API_KEYS", "CODEX_PROXY_ADMIN_KEY"]);
    for (const name of [...asked, "POSTGRES_PASSWORD", "DB_PASSWORD", "COMPOSE_PROFILES"]) {
      expect(example).toMatch(new RegExp(`^${name}=`, "m"));
    }
  });

  test("the service has time to stop, and is not started again with a wrong configuration", async () => {
    const unit = await read("docs/deploy/codex-proxy.service");
    const value = (name: string) => new RegExp(`^${name}=(.*)$`, "m").exec(unit)?.[1];
    expect(Number(value("TimeoutStopSec"))).toBeGreaterThan(STOP_SEC);
    expect(value("RestartPreventExitStatus")).toBe("2");
    expect(unit).not.toMatch(/^MemoryDenyWriteExecute=/m);
    const plist = await read("docs/deploy/codex-proxy.plist");
    const limit = /<key>ExitTimeOut<\/key>\s*<integer>(\d+)</.exec(plist)?.[1];
    expect(Number(limit)).toBeGreaterThan(STOP_SEC);
  });

  test.skipIf(Bun.which("systemd-analyze") === null)(
    "systemd understands the service",
    async () => {
      await buildIfMissing();
      const dir = await mkdtemp(join(tmpdir(), "codex-proxy-unit-"));
      const unit = await read("docs/deploy/codex-proxy.service");
      const file = join(dir, "codex-proxy.service");
      await writeFile(file, unit.replaceAll("/usr/local/bin/codex-proxy", PROGRAM));
      const child = Bun.spawn(["systemd-analyze", "verify", "--man=no", file], {
        stdout: "pipe",
        stderr: "pipe",
      });
      const said = await new Response(child.stderr).text();
      await rm(dir, { recursive: true });
      // It looks at the machine's other units as well.
      expect(said.split("\n").filter((line) => line.includes("codex-proxy"))).toEqual([]);
      expect(await child.exited).toBe(0);
    },
  );

  test.skipIf(Bun.which("systemd-analyze") === null)(
    "the service is as little exposed as DEPLOY.md says",
    async () => {
      const told = Number(
        /rates it (\d\.\d)/.exec((await read("docs/DEPLOY.md")).replaceAll("\n", " "))?.[1],
      );
      expect(told).toBeGreaterThan(0);
      const rate = async (limit: number): Promise<number> => {
        const words = ["security", "--offline=yes", "--no-pager", `--threshold=${limit}`];
        const unit = join(ROOT, "docs/deploy/codex-proxy.service");
        const child = Bun.spawn(["systemd-analyze", ...words, unit], {
          stdout: "ignore",
          stderr: "ignore",
        });
        return await child.exited;
      };
      // It is asked in tenths, and fails above the limit.
      expect(await rate(Math.round(told * 10))).toBe(0);
      expect(await rate(Math.round(told * 10) - 2)).not.toBe(0);
    },
  );

  test("every platform of a release is in the tables that lead to its zip", async () => {
    for (const file of ["README.md", "README.zh-CN.md", "docs/DEPLOY.md"]) {
      const text = await read(file);
      const rows = [...text.matchAll(/^\| `(?:codex-proxy-)?([a-z]+-[a-z0-9]+)(?:\.zip)?` +\|/gm)];
      const named = rows.map(([, name = ""]) => name);
      const systems = named.filter((name) => /^(?:linux|windows|darwin)-/.test(name));
      for (const { name } of TARGETS) expect(systems).toContain(name);
      const known = TARGETS.map(({ name }) => name);
      expect(systems.filter((name) => !known.includes(name))).toEqual([]);
    }
  });
});
