import { describe, expect, test } from "bun:test";
import { createIntake } from "../../src/net/intake.ts";
import { openTunnel, proxyLogin } from "../../src/net/tunnel.ts";
import { openLink, proxyOf } from "../support/link.ts";
import { readHead } from "../support/proxies.ts";

/** What a proxy is asked, and what becomes of its answer; `rest` is what follows it. */
async function talk(answer: string, url = "http://h:1", host = "chatgpt.com") {
  await using link = await openLink();
  let asked = "";
  readHead(link.far, (head) => {
    asked = head;
    link.far.end(answer);
  });
  const intake = createIntake(link.near);
  const target = { host, port: 443 };
  const failure = await openTunnel(link.near, intake, proxyOf(url), target).then(
    () => undefined,
    (cause: unknown) => cause,
  );
  const message = failure instanceof Error ? failure.message : failure;
  return { asked, message, rest: `${intake.release()}` };
}

describe("openTunnel", () => {
  test("asks for the target, with the login where there is one", async () => {
    const { asked, message } = await talk("HTTP/1.1 200 OK\r\n\r\n", "http://us%40er:p%3Aw@h:1");
    expect(message).toBeUndefined();
    expect(asked.split("\r\n")).toEqual([
      "CONNECT chatgpt.com:443 HTTP/1.1",
      "host: chatgpt.com:443",
      `proxy-authorization: Basic ${btoa("us@er:p:w")}`,
    ]);
    const six = await talk("HTTP/1.0 200 Connection established\r\n\r\n", "http://h", "::1");
    expect(six.asked).toStartWith("CONNECT [::1]:443 HTTP/1.1\r\nhost: [::1]:443");
    expect(six.asked).not.toContain("authorization");
  });

  test("hands on what follows the answer, whatever its headers say of a length", async () => {
    const answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 x\r\ncontent-length: 4\r\n\r\nrest";
    expect(await talk(answer)).toMatchObject({ message: undefined, rest: "rest" });
  });

  const rows: [answer: string, said: RegExp][] = [
    [
      "HTTP/1.1 403 Forbidden\r\n\r\n<html>",
      /did not connect to chatgpt\.com:443\. .*403 Forbidden\.$/,
    ],
    ["HTTP/1.1 502\r\n\r\n", /It answered: 502\.$/],
    [`HTTP/1.1 503 ${"x".repeat(5000)}\r\n\r\n`, /It answered: 503 x{80}\.$/],
    ["HTTP/1.1 500 \u001b[31mred\r\n\r\n", /It answered: 500 red\.$/],
    ["HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", /wants a login\./],
    ["<html>\r\n\r\n", /does not answer as an HTTP proxy does/],
    ["\u0005\u00ff\r\n\r\n", /does not answer as an HTTP proxy does/],
    [
      `HTTP/1.1 200 OK\r\nx: ${"y".repeat(17_000)}\r\n\r\n`,
      /does not answer as an HTTP proxy does/,
    ],
    ["HTTP/1.1 103 Early\r\n\r\n".repeat(7), /does not answer as an HTTP proxy does/],
    ["HTTP/1.1 200 OK\r\n", /the connection ended/],
    ["", /the connection ended/],
  ];
  test.each(rows)("%p", async (answer, said) => {
    expect((await talk(answer)).message).toMatch(said);
  });

  test("a login that is refused is not the same as none", async () => {
    const { message } = await talk("HTTP/1.1 407 x\r\n\r\n", "http://user:hunter2@h:1");
    expect(message).toMatch(/refuses the user or the password/);
    expect(message).not.toContain("hunter2");
  });
});

test("a login goes as Basic says, in UTF-8", () => {
  expect(proxyLogin(proxyOf("https://%C3%A9:%E2%82%AC@h"))).toEqual({
    "proxy-authorization": `Basic ${Buffer.from("é:€").toString("base64")}`,
  });
  expect(proxyLogin(proxyOf("https://h"))).toEqual({});
});
