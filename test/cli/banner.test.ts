import { describe, expect, test } from "bun:test";
import { bannerOf } from "../../src/cli/banner.ts";
import { type Config, defaults } from "../../src/config/schema.ts";

function banner(config: Partial<Config>, total = 0, ready = total): string {
  return bannerOf({
    version: "1.2.3",
    config: { ...defaults(), ...config },
    port: 9000,
    path: undefined,
    accounts: { total, ready },
    command: "./codex-proxy",
  }).join("\n");
}

describe("bannerOf", () => {
  test("a first start: where it is, that there is no account, and how to get one", () => {
    const said = banner({ listen: "127.0.0.1:0" });
    expect(said).toContain("codex-proxy 1.2.3");
    expect(said).toMatch(/Address +http:\/\/127\.0\.0\.1:9000\n/);
    expect(said).toMatch(/Accounts +none yet/);
    expect(said).toMatch(/Keys +none: every program on this machine can call/);
    expect(said).toMatch(/Settings +built-in defaults/);
    expect(said).toContain("./codex-proxy login");
    expect(said).toContain("./codex-proxy setup codex --write");
  });

  test("one that is open to all says so, and what to do first", () => {
    const said = banner({ listen: ":8080" }, 1);
    expect(said).toContain("and every other address of this machine");
    expect(said).toContain("ANYONE who reaches this port");
    expect(said).toMatch(/Next +set api-keys/);
  });

  test("with a key and accounts the client is next, and the key is not shown", () => {
    const said = banner({ "api-keys": ["sk-0123456789"] }, 3, 2);
    expect(said).toMatch(/Accounts +3, of which 2 can be used now/);
    expect(said).toMatch(/Keys +1 key: callers must show one/);
    expect(said).toMatch(/Next +lead a client here/);
    expect(said).not.toContain("sk-0123456789");
  });

  test("where no account can be used, the doctor is next", () => {
    expect(banner({ listen: "127.0.0.1:1" }, 2, 0)).toMatch(/Next .*codex-proxy doctor/);
  });
});
