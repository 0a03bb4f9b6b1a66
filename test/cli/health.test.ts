import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { health } from "../../src/cli/health.ts";
import { openSettings } from "../../src/cli/settings.ts";
import { makeFolder } from "../store/folder.ts";
import { createAuthority } from "../support/certificates.ts";
import { createManualClock } from "../support/clock.ts";
import { freePort, listen } from "../support/listener.ts";
import { onPosix } from "../support/system.ts";
import { homeOf, run } from "./program.ts";

const HEAD = { live: "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n" };

async function ask(flags: Record<string, string>, clock = createManualClock(0)) {
  const said: string[] = [];
  const settings = await openSettings(undefined, flags, {});
  const say = (line: string) => void said.push(line);
  const code = await health(settings, { print: say, complain: say }, clock);
  return { code, said: said.join("\n") };
}

describe("health", () => {
  onPosix("0 where the proxy runs, however its accounts are, by a command of its own", async () => {
    const { folder, path } = homeOf("listen: 127.0.0.1:0\napi-keys: [a-key-of-mine]\n");
    const proxy = run(["-config", path], folder);
    const line = await proxy.line("listening");
    const port = /:(\d+)/.exec(line.slice(line.indexOf("http")))?.[1] ?? "";
    const asking = run(["health", "-listen", `:${port}`], folder);
    expect(await asking.end()).toEqual({ code: 0, stdout: `http://127.0.0.1:${port} runs\n` });
    proxy.kill("SIGTERM");
    await proxy.end();
    const after = await ask({ listen: `127.0.0.1:${port}` });
    expect(after).toEqual({
      code: 1,
      said: `http://127.0.0.1:${port} does not answer (ECONNREFUSED)`,
    });
  });

  test("over TLS too, whatever name its certificate is for", async () => {
    const folder = makeFolder();
    const { cert, key } = createAuthority().issue(["proxy.example"]);
    const [certFile, keyFile] = [join(folder, "cert.pem"), join(folder, "key.pem")];
    writeFileSync(certFile, cert);
    writeFileSync(keyFile, key);
    const flags = { "tls-cert": certFile, "tls-key": keyFile };
    await using server = await listen((socket) => void socket.end(HEAD.live), { cert, key });
    const { code, said } = await ask({ listen: `0.0.0.0:${server.port}`, ...flags });
    expect({ code, said }).toEqual({ code: 0, said: `https://localhost:${server.port} runs` });
  });

  test("1 where somebody else answers, and where nobody does in time", async () => {
    await using stranger = await listen((socket) =>
      socket.end("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"),
    );
    const other = await ask({ listen: `127.0.0.1:${stranger.port}` });
    expect(other.code).toBe(1);
    expect(other.said).toContain("answers 404: another program has that port");

    const clock = createManualClock(0);
    await using silent = await listen(() => clock.advance(4000));
    const late = await ask({ listen: `127.0.0.1:${silent.port}` }, clock);
    expect(late.code).toBe(1);
    expect(late.said).toContain("did not answer within 4 s");
  });

  test("2 where nobody can know where it listens, and where the configuration is wrong", async () => {
    const unknown = await ask({ listen: ":0" });
    expect(unknown).toMatchObject({ code: 2, said: expect.stringContaining("port 0") });
    const wrong = await ask({ "max-retry": "many" });
    expect(wrong).toMatchObject({ code: 2, said: expect.stringContaining("max-retry") });
  });

  test("proxies of the environment are not asked", async () => {
    await using egress = await listen((socket) => void socket.end(HEAD.live));
    const { folder } = homeOf("");
    const proxies = { HTTP_PROXY: `http://127.0.0.1:${egress.port}`, NO_PROXY: "" };
    const words = ["health", "-listen", `127.0.0.1:${await freePort()}`];
    const asking = run(words, folder, { ...proxies, http_proxy: proxies.HTTP_PROXY, no_proxy: "" });
    expect((await asking.end()).code).toBe(1);
    expect(asking.lines.join()).toContain("does not answer (ECONNREFUSED)");
    expect(egress.peers).toEqual([]);
  });
});
