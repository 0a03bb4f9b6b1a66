import { describe, expect, test } from "bun:test";
import { configFaults } from "../../../scripts/release/image.ts";

/** As `docker image inspect` tells of a good one. */
const GOOD = {
  User: "10001:10001",
  Entrypoint: ["/usr/local/bin/codex-proxy"],
  Cmd: ["serve"],
  StopSignal: "SIGTERM",
  Volumes: { "/config": {}, "/auths": {} },
  ExposedPorts: { "8080/tcp": {} },
  Healthcheck: { Test: ["CMD", "/usr/local/bin/codex-proxy", "health"], Interval: 1 },
};

describe("configFaults", () => {
  test("a good image has none, as Docker and as Podman tell of it", () => {
    expect(configFaults({ Config: GOOD })).toEqual([]);
    const { Healthcheck, ...config } = GOOD;
    expect(configFaults({ Config: config, Healthcheck })).toEqual([]);
  });

  test("root, by number or by name or by default, is no user for it", () => {
    for (const User of ["", "0:0", "10001:0", "root", "nobody", undefined]) {
      expect(configFaults({ Config: { ...GOOD, User } })).toEqual([
        expect.stringContaining("User"),
      ]);
    }
  });

  test("what is missing or different is named", () => {
    for (const name of ["Entrypoint", "Cmd", "StopSignal", "Volumes", "ExposedPorts"]) {
      expect(configFaults({ Config: { ...GOOD, [name]: undefined } })).toEqual([
        expect.stringContaining(name),
      ]);
    }
    expect(configFaults({ Config: { ...GOOD, Healthcheck: undefined } })).toHaveLength(1);
    expect(configFaults({ Config: { ...GOOD, Volumes: { "/auths": {} } } })).toHaveLength(1);
    expect(configFaults(undefined).length).toBeGreaterThan(3);
  });
});
