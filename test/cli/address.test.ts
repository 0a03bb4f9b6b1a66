import { describe, expect, test } from "bun:test";
import { clientKeyOf, isOpenToAll, localUrl } from "../../src/cli/address.ts";
import { defaults } from "../../src/config/schema.ts";

describe("localUrl", () => {
  const rows: [listen: string, cert: string, url: string | undefined][] = [
    [":8080", "", "http://127.0.0.1:8080"],
    ["0.0.0.0:80", "", "http://127.0.0.1:80"],
    ["[::]:9000", "", "http://[::1]:9000"],
    ["127.0.0.1:9000", "", "http://127.0.0.1:9000"],
    ["localhost:9000", "", "http://localhost:9000"],
    ["[::1]:9000", "", "http://[::1]:9000"],
    ["192.168.1.5:9000", "", "http://192.168.1.5:9000"],
    [":8443", "cert.pem", "https://localhost:8443"],
    ["127.0.0.1:0", "", undefined],
  ];
  test.each(rows)("%s %s", (listen, cert, url) => {
    expect(localUrl({ listen, "tls-cert": cert })).toBe(url);
  });
});

describe("isOpenToAll", () => {
  const rows: [listen: string, keys: string[], isOpen: boolean][] = [
    [":8080", [], true],
    ["0.0.0.0:8080", [], true],
    ["127.0.0.1:8080", [], false],
    ["[::1]:8080", [], false],
    [":8080", ["sk-0123456789"], false],
  ];
  test.each(rows)("%s with %p", (listen, keys, isOpen) => {
    expect(isOpenToAll({ ...defaults(), listen, "api-keys": keys })).toBe(isOpen);
  });

  test("counts where the proxy really listens", () => {
    expect(isOpenToAll({ ...defaults(), listen: "127.0.0.1:1" }, ":8080")).toBe(true);
  });
});

describe("clientKeyOf", () => {
  test("none where none is asked for", () => {
    expect(clientKeyOf([])).toEqual({ kind: "none" });
  });

  test("the first that can be read, in either form", () => {
    const hashed = { "key-sha256": "00", name: "ci" };
    expect(clientKeyOf(["one-key-of-mine", "two"])).toEqual({
      kind: "known",
      key: "one-key-of-mine",
    });
    expect(clientKeyOf([hashed, { key: "mine-too", name: "me" }])).toEqual({
      kind: "known",
      key: "mine-too",
    });
    expect(clientKeyOf([hashed])).toEqual({ kind: "hidden" });
  });
});
