import { describe, expect, test } from "bun:test";
import { createPages, PAGE_ROUTES, type PageRoute } from "../../src/server/dashboard.ts";

const [SHELL, SCRIPT] = PAGE_ROUTES;
const WORDS = "the page ".repeat(100);

function pages(read = async (_file: string) => new Uint8Array(Buffer.from(WORDS))) {
  const serve = createPages(read);
  return (route: PageRoute = SHELL, headers: Readonly<Record<string, string>> = {}) =>
    serve(route, new Request("http://localhost/", { headers }));
}

describe("the dashboard's files", () => {
  test("may load and run nothing but themselves, and be framed by nobody", async () => {
    const { headers } = await pages()();
    const policy = new Map(
      (headers.get("content-security-policy") ?? "").split("; ").map((rule) => {
        const [name = "", ...values] = rule.split(" ");
        return [name, values.join(" ")];
      }),
    );
    expect(Object.fromEntries(policy)).toEqual({
      "default-src": "'none'",
      "script-src": "'self'",
      "style-src": "'self'",
      "img-src": "'self'",
      "connect-src": "'self'",
      "base-uri": "'none'",
      "form-action": "'none'",
      "frame-ancestors": "'none'",
      "require-trusted-types-for": "'script'",
      "trusted-types": "'none'",
    });
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("referrer-policy")).toBe("no-referrer");
  });

  test("each has its type, and is asked for anew each time", async () => {
    const ask = pages();
    for (const route of PAGE_ROUTES) {
      const { headers } = await ask(route);
      expect(headers.get("content-type")).toBe(route.type);
      expect(headers.get("cache-control")).toBe("no-cache");
    }
  });

  test("who has them already gets 304 and no body", async () => {
    const ask = pages();
    const etag = (await ask(SCRIPT)).headers.get("etag") ?? "";
    for (const held of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
      const response = await ask(SCRIPT, { "if-none-match": held });
      expect([held, response.status, await response.text()]).toEqual([held, 304, ""]);
      expect(response.headers.get("etag")).toBe(etag);
    }
    expect((await ask(SCRIPT, { "if-none-match": '"other"' })).status).toBe(200);
  });

  test("another content has another tag", async () => {
    const tagOf = async (words: string) =>
      (await pages(async () => new Uint8Array(Buffer.from(words)))()).headers.get("etag");
    expect(await tagOf("one")).not.toBe(await tagOf("two"));
  });

  const encodings: readonly [accepted: string, isPacked: boolean][] = [
    ["gzip, deflate, br", true],
    ["br;q=1, gzip;q=0.5", true],
    ["gzip;q=0", false],
    ["gzip;q=0.0, br", false],
    ["br", false],
    ["", false],
  ];
  test.each(encodings)("accept-encoding: %s", async (accepted, isPacked) => {
    const response = await pages()(SCRIPT, { "accept-encoding": accepted });
    expect(response.headers.get("vary")).toBe("accept-encoding");
    expect(response.headers.get("content-encoding")).toBe(isPacked ? "gzip" : null);
    const bytes = new Uint8Array(await response.arrayBuffer());
    expect(Buffer.from(isPacked ? Bun.gunzipSync(bytes) : bytes).toString()).toBe(WORDS);
  });

  test("are read once; what could not be read is tried again", async () => {
    let reads = 0;
    const ask = pages(async () => {
      reads += 1;
      if (reads === 1) throw new Error("not there yet");
      return new Uint8Array(Buffer.from(WORDS));
    });
    await expect(ask()).rejects.toThrow("not there yet");
    expect((await ask()).status).toBe(200);
    await ask();
    expect(reads).toBe(2);
  });
});
