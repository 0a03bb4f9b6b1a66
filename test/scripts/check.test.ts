import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { countTests, pinFaults, skipReasons, summary } from "../../scripts/check.ts";

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

describe("skipReasons", () => {
  test("what tests said of why they were skipped, each once", () => {
    const [maria, postgres] = ["MariaDB", "PostgreSQL"].map(
      (name) => `skipped: ${name} does not answer on 127.0.0.1:1`,
    );
    const output = `bun test v1.4.5\n\na.test.ts:\n${maria}\n${postgres}\n\nb.test.ts:\n${maria}\n 12 pass\n 1 skip\n`;
    expect(skipReasons(output)).toEqual([maria ?? "", postgres ?? ""]);
    expect(skipReasons("(skip) skipped: no\n 1 pass")).toEqual([]);
  });

  test("a server that does not answer is one, in what a run of tests prints", async () => {
    // The same tests, on a machine that has no MariaDB where they look for it.
    const child = Bun.spawn(
      [process.execPath, "test", "test/store/sql/server.test.ts", "--only-failures"],
      {
        cwd: join(import.meta.dirname, "../.."),
        env: { ...process.env, CODEX_TEST_MARIADB_PORT: "1", NO_COLOR: "1" },
        stdout: "pipe",
        stderr: "pipe",
      },
    );
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    expect(await child.exited).toBe(0);
    expect(skipReasons(stdout + stderr)).toContain(
      "skipped: MariaDB does not answer on 127.0.0.1:1",
    );
    expect(countTests(stdout + stderr).skipped).toBeGreaterThan(0);
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
