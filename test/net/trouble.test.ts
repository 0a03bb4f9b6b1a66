import { describe, expect, test } from "bun:test";
import {
  codeOf,
  describeTls,
  EgressError,
  EndedError,
  inWords,
  loginTrouble,
  proxyTrouble,
  startIt,
  targetTrouble,
} from "../../src/net/trouble.ts";
import { proxyOf } from "../support/link.ts";

const PROXY = proxyOf("socks5h://user:hunter2@10.0.0.1:1080");
const failure = (code: string) => Object.assign(new Error("hunter2 in its words"), { code });

describe("the words for a proxy in trouble", () => {
  test("name it, where it is written down and what to do, and never its login", () => {
    const { message } = proxyTrouble(PROXY, "is asleep", startIt(PROXY));
    expect(message).toBe(
      "The egress proxy socks5h://10.0.0.1:1080 (proxy-url) is asleep. Start it, or correct proxy-url: nothing is sent around it.",
    );
    const own = proxyOf("http://user:hunter2@10.0.0.1", "proxy_url");
    expect(proxyTrouble(own, "is asleep", startIt(own)).message).toBe(
      "The egress proxy http://10.0.0.1:80 (the account's proxy_url) is asleep. Start it, or correct proxy_url: nothing is sent around it.",
    );
  });

  test("a login that is wrong and one that is missing are two things", () => {
    expect(loginTrouble(PROXY).message).toContain("refuses the user or the password. Correct");
    expect(loginTrouble(proxyOf("http://h")).message).toContain("wants a login. Write user:");
  });

  test("a target that the proxy cannot reach is not the proxy's fault", () => {
    const trouble = targetTrouble(
      PROXY,
      { host: "chatgpt.com", port: 443 },
      "SOCKS server: x (2).",
    );
    expect(trouble.isAtTarget).toBe(true);
    expect(trouble.message).toEndWith("did not connect to chatgpt.com:443. SOCKS server: x (2).");
    expect(proxyTrouble(PROXY, "x", "y").isAtTarget).toBe(false);
  });

  const rows: [code: string, stage: "connect" | "handshake", words: string][] = [
    ["ECONNREFUSED", "connect", "cannot be reached: connection refused (ECONNREFUSED)"],
    ["EHOSTUNREACH", "connect", "cannot be reached: no way to its host"],
    ["EODD", "connect", "cannot be reached: EODD"],
    ["ECONNRESET", "handshake", "broke the connection off (ECONNRESET)"],
    ["DEPTH_ZERO_SELF_SIGNED_CERT", "connect", "has a certificate that is not trusted (DEPTH_"],
    ["ERR_SSL_WRONG_VERSION_NUMBER", "connect", "does not speak TLS (ERR_SSL_"],
  ];
  test.each(rows)("%s", (code, stage, words) => {
    const { message } = inWords(PROXY, failure(code), stage);
    expect(message).toContain(`(proxy-url) ${words}`);
    expect(message).not.toContain("hunter2");
  });

  test("an end in the midst of it, and what has its words already", () => {
    expect(inWords(PROXY, new EndedError("x"), "handshake").message).toContain(
      "closed the connection before it had answered",
    );
    const told = new EgressError("as it is");
    expect(inWords(PROXY, told, "connect")).toBe(told);
  });
});

describe("describeTls", () => {
  test.each([
    "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    "SELF_SIGNED_CERT_IN_CHAIN",
    "CERT_HAS_EXPIRED",
    "CERT_SIGNATURE_FAILURE",
  ])("%s is a certificate that is not trusted", (code) => {
    expect(describeTls(code)).toEqual({
      what: `has a certificate that is not trusted (${code})`,
      isCertificate: true,
    });
  });

  test("another name, another protocol, and what has nothing to do with TLS", () => {
    expect(describeTls("ERR_TLS_CERT_ALTNAME_INVALID")?.what).toContain("for another name");
    expect(describeTls("EPROTO")?.isCertificate).toBe(false);
    for (const code of ["ECONNREFUSED", "ECONNRESET", "EPIPE", "no reason given"]) {
      expect(describeTls(code)).toBeUndefined();
    }
  });
});

test("a code is short, and where there is none it says so", () => {
  expect(codeOf(failure("E".repeat(200)))).toHaveLength(80);
  expect(codeOf(new DOMException("x", "AbortError"))).toBe("no reason given");
  expect(codeOf("text")).toBe("no reason given");
});
