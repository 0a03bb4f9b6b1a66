import { describe, expect, test } from "bun:test";
import { createIntake } from "../../src/net/intake.ts";
import { openSocks } from "../../src/net/socks.ts";
import { openLink, proxyOf } from "../support/link.ts";

type Script = readonly (readonly number[])[];

/** Plays a server that answers each message with the next of `script`, and ends after the last one if it `ends`. */
async function talk(script: Script, { url = "socks5h://h:1", host = "a.test", ends = true } = {}) {
  await using link = await openLink();
  const heard: string[] = [];
  const left = [...script];
  link.far.on("data", (bytes) => {
    heard.push(bytes.toString("hex"));
    const next = left.shift();
    if (next !== undefined) link.far.write(Buffer.from(next));
    if (left.length === 0 && ends) link.far.end();
  });
  const intake = createIntake(link.near);
  const target = { host, port: 0x1bb };
  const failure = await openSocks(link.near, intake, proxyOf(url), target).then(
    () => undefined,
    (cause: unknown) => cause,
  );
  return {
    heard,
    message: failure instanceof Error ? failure.message : failure,
    rest: intake.release().toString("hex"),
  };
}

const WELCOME = [5, 0];
const GRANTED = [5, 0, 0, 1, 10, 0, 0, 1, 0, 80];

describe("openSocks", () => {
  test("greets without a login, and names the host for the server to resolve", async () => {
    const { heard, message } = await talk([WELCOME, GRANTED]);
    expect(message).toBeUndefined();
    expect(heard).toEqual(["050100", `0501000306${Buffer.from("a.test").toString("hex")}01bb`]);
  });

  test("logs in where the server wants that", async () => {
    const url = "socks5://us%C3%A9r:p%3A@h";
    const { heard, message } = await talk([[5, 2], [1, 0], GRANTED], { url });
    expect(message).toBeUndefined();
    expect(heard[0]).toBe("05020002");
    expect(heard[1]).toBe(
      `0105${Buffer.from("usér").toString("hex")}02${"p:"
        .split("")
        .map((c) => c.charCodeAt(0).toString(16))
        .join("")}`,
    );
  });

  test("needs no login where the server wants none", async () => {
    const { heard } = await talk([WELCOME, GRANTED], { url: "socks5h://u:p@h" });
    expect(heard).toHaveLength(2);
  });

  const addresses: [host: string, bytes: string][] = [
    ["127.0.0.1", "017f000001"],
    ["::1", `04${"0".repeat(30)}01`],
    ["::", `04${"0".repeat(32)}`],
    ["2001:db8::7", "0420010db8000000000000000000000007"],
    ["1:2:3:4:5:6:7:8", "0400010002000300040005000600070008"],
    ["fe80::", "04fe800000000000000000000000000000"],
    ["::ffff:10.0.0.1", "0400000000000000000000ffff0a000001"],
    ["::ffff:a00:1", "0400000000000000000000ffff0a000001"],
  ];
  test.each(addresses)("%s goes as an address", async (host, bytes) => {
    const { heard } = await talk([WELCOME, GRANTED], { host });
    expect(heard[1]).toBe(`050100${bytes}01bb`);
  });

  const replies: [name: string, bytes: readonly number[]][] = [
    ["IPv4", [5, 0, 0, 1, 1, 2, 3, 4, 5, 6]],
    ["IPv6", [5, 0, 0, 4, ...Array.from({ length: 18 }, () => 7)]],
    ["a name", [5, 0, 0, 3, 3, 97, 98, 99, 0, 1]],
    ["an empty name", [5, 0, 0, 3, 0, 0, 1]],
  ];
  test.each(replies)(
    "reads a reply with %s to its last byte, and nothing beyond",
    async (_name, bytes) => {
      const { message, rest } = await talk([WELCOME, [...bytes, 0x16, 0x03]]);
      expect(message).toBeUndefined();
      expect(rest).toBe("1603");
    },
  );

  const failures: [name: string, script: Script, said: RegExp][] = [
    ["general failure", [WELCOME, [5, 1]], /a\.test:443\. SOCKS server: general failure \(1\)\.$/],
    [
      "ruleset",
      [WELCOME, [5, 2, 0, 1, 0, 0, 0, 0, 0, 0]],
      /SOCKS server: connection refused by ruleset \(2\)\.$/,
    ],
    ["network", [WELCOME, [5, 3]], /network unreachable \(3\)/],
    ["host", [WELCOME, [5, 4]], /host unreachable \(4\)/],
    ["refused", [WELCOME, [5, 5]], /SOCKS server: connection refused \(5\)/],
    ["TTL", [WELCOME, [5, 6]], /TTL expired \(6\)/],
    ["command", [WELCOME, [5, 7]], /command not supported \(7\)/],
    ["address type", [WELCOME, [5, 8]], /address type not supported \(8\)/],
    ["a code of its own", [WELCOME, [5, 200]], /does not know \(200\)/],
    ["no way to log in", [[5, 255]], /wants a login\. Write user:password@/],
    ["a login that was not offered", [[5, 2]], /wants a login\. Write user:password@/],
    ["a way to log in that nobody knows", [[5, 1]], /kind that was not offered \(1\)/],
    ["another version", [[4, 0]], /does not speak SOCKS5/],
    ["a web server", [[...Buffer.from("HTTP/1.1 400 Bad\r\n\r\n")]], /does not speak SOCKS5/],
    ["another version later", [WELCOME, [4, 90]], /does not speak SOCKS5/],
    [
      "an address type that is none",
      [WELCOME, [5, 0, 0, 9, 1, 2, 3, 4, 5, 6]],
      /kind that there is not \(9\)/,
    ],
    [
      "a name that is shorter than it says",
      [WELCOME, [5, 0, 0, 3, 255, 1, 2]],
      /the connection ended/,
    ],
    ["half an address", [WELCOME, [5, 0, 0, 4, 1, 2]], /the connection ended/],
    ["half a greeting", [[5]], /the connection ended/],
    ["nothing", [[]], /the connection ended/],
  ];
  test.each(failures)("%s", async (_name, script, said) => {
    expect((await talk(script)).message).toMatch(said);
  });

  test("a wrong password is told, and not which", async () => {
    const { message } = await talk(
      [
        [5, 2],
        [1, 1],
      ],
      { url: "socks5h://u:hunter2@h:1" },
    );
    expect(message).toMatch(/refuses the user or the password\. Correct them in proxy-url\.$/);
  });

  test("a name that is too long is not sent", async () => {
    const { heard, message } = await talk([WELCOME, GRANTED], { host: "x".repeat(256) });
    expect(message).toMatch(/too long for SOCKS/);
    expect(heard).toHaveLength(1);
  });

  test("a flood instead of a reply is bounded", async () => {
    const flood = Array.from({ length: 300_000 }, () => 5);
    const { message } = await talk([WELCOME, flood], { ends: false });
    expect(message).toMatch(/connection refused \(5\)/);
  });
});
