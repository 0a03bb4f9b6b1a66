import { expect, test } from "bun:test";
import { type Fault, formatFault } from "../../src/config/fault.ts";

const fault: Omit<Fault, "origin"> = {
  key: "max-retry",
  found: '"two"',
  allowed: "a whole number from 0 to 20",
  message: 'found "two", allowed: a whole number from 0 to 20',
};

const rows: [name: string, fault: Fault, line: string][] = [
  [
    "a fault of the file names file, line and key",
    { ...fault, line: 7, column: 12, origin: { kind: "file", path: "config.yaml" } },
    'config.yaml:7: max-retry: found "two", allowed: a whole number from 0 to 20',
  ],
  [
    "a fault of the whole file names no key",
    { ...fault, key: "", message: "not valid YAML", line: 1, origin: { kind: "file", path: "a" } },
    "a:1: not valid YAML",
  ],
  [
    "a fault without a line is still placed",
    { ...fault, message: "wrong", origin: { kind: "file", path: "a.yaml" } },
    "a.yaml: max-retry: wrong",
  ],
  [
    "a fault of the environment names the variable",
    { ...fault, message: "wrong", origin: { kind: "env", variable: "CODEX_PROXY_MAX_RETRY" } },
    "environment CODEX_PROXY_MAX_RETRY: wrong",
  ],
  [
    "a fault of the command line names the flag",
    { ...fault, message: "wrong", origin: { kind: "flag", flag: "--max-retry" } },
    "--max-retry: wrong",
  ],
];

test.each(rows)("%s", (_name, each, line) => {
  expect(formatFault(each)).toBe(line);
});
