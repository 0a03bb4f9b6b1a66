import { describe, expect, test } from "bun:test";
import { countTests, pinFaults, summary } from "../../scripts/check.ts";

describe("countTests", () => {
  test("reads the numbers at the end of a run; tests still to be written count as skipped", () => {
    const output = `bun test v1.4.5

(fail) 7 pass [0.09ms]

 12 pass
 1 skip
 2 todo
 3 fail
 31 expect() calls
Ran 18 tests across 2 files. [5.00ms]
`;
    expect(countTests(output)).toEqual({ passed: 12, failed: 3, skipped: 3 });
  });

  test("a run that printed no numbers counts nothing", () => {
    expect(countTests("panic: oom")).toEqual({ passed: 0, failed: 0, skipped: 0 });
  });
});

describe("pinFaults", () => {
  const lockOf = (dependencies: object) => ({ packages: { "": { dependencies } } });

  test("exact versions that the lock file repeats are right", () => {
    const dependencies = { elysia: "1.4.30", yaml: "2.9.1-rc.1" };
    expect(pinFaults({ dependencies }, lockOf(dependencies))).toEqual([]);
  });

  test.each(["^1.4.30", "~1.4.30", "1.4", "*", "latest", "file:../elysia"])(
    "%s is no pin",
    (version) => {
      const dependencies = { elysia: version };
      expect(pinFaults({ dependencies }, lockOf(dependencies))).toEqual([
        `package.json: elysia is "${version}", not one exact version`,
      ]);
    },
  );

  test("a lock file of another day is reported, both ways", () => {
    const faults = pinFaults(
      { dependencies: { elysia: "1.4.30" } },
      lockOf({ elysia: "1.4.29", yaml: "2.9.1" }),
    );
    expect(faults).toEqual([
      "package-lock.json: elysia is 1.4.29, but package.json says 1.4.30",
      "package-lock.json: yaml is 2.9.1, but package.json says undefined",
    ]);
  });
});

test("a platform's package that npm left out of the lock file is reported", () => {
  const packages = {
    "node_modules/biome": { optionalDependencies: { "cli-linux": "1.0.0", "cli-darwin": "1.0.0" } },
    "node_modules/cli-linux": { version: "1.0.0" },
  };
  expect(pinFaults({}, { packages })).toEqual([
    "package-lock.json: cli-darwin is missing, so npm ci will fail",
  ]);
});

test("the summary names what was skipped only when something was", () => {
  expect(summary({ passed: 3, failed: 0, skipped: 0 })).toBe("3 passed, 0 failed");
  expect(summary({ passed: 3, failed: 1, skipped: 2 })).toBe("3 passed, 1 failed, 2 skipped");
});
