import { describe, expect, test } from "bun:test";
import { type Command, HELP, readArguments } from "../../src/cli/args.ts";
import { KEYS } from "../../src/config/schema.ts";

function serve(configPath?: string, flags: Record<string, string> = {}): Command {
  return { name: "serve", configPath, flags };
}

const NOWHERE = { configPath: undefined, flags: {} };

function setup(client: string, isWritten: boolean, url?: string) {
  return { name: "setup", wish: { client, isWritten, url }, ...NOWHERE };
}

function misuse(part: string) {
  return { name: "misuse", message: expect.stringContaining(part) };
}

describe("readArguments", () => {
  const rows: [line: string, command: object][] = [
    ["", serve()],
    ["serve", serve()],
    ["-config config.yaml", serve("config.yaml")],
    ["--config config.yaml", serve("config.yaml")],
    ["-config=config.yaml", serve("config.yaml")],
    ["--config=config.yaml", serve("config.yaml")],
    ["-c config.yaml", serve("config.yaml")],
    ["-config config.yaml serve", serve("config.yaml")],
    ["serve -config config.yaml", serve("config.yaml")],
    ["-config one.yaml -config two.yaml", serve("two.yaml")],
    ["-config=", serve("")],
    ["-listen :9000 -max-retry 0", serve(undefined, { listen: ":9000", "max-retry": "0" })],
    [
      "--listen=:9000 -log-level=debug",
      serve(undefined, { listen: ":9000", "log-level": "debug" }),
    ],
    ["serve -api-keys a-key-of-mine,b", serve(undefined, { "api-keys": "a-key-of-mine,b" })],
    ["check", { name: "check", configPath: undefined, flags: {} }],
    ["check -config x.yaml", { name: "check", configPath: "x.yaml", flags: {} }],
    ["-config x.yaml check", { name: "check", configPath: "x.yaml", flags: {} }],
    ["health", { name: "health", ...NOWHERE }],
    ["health now", misuse("'health' takes no 'now'")],
    ["version", { name: "version" }],
    ["-version", { name: "version" }],
    ["--version", { name: "version" }],
    ["-v", { name: "version" }],
    ["help", { name: "help" }],
    ["-help", { name: "help" }],
    ["--help", { name: "help" }],
    ["-h", { name: "help" }],
    ["serve -help", { name: "help" }],
    ["-version -help", { name: "help" }],
    ["frobnicate", misuse("there is no command 'frobnicate'")],
    ["serve twice", misuse("'serve' takes no 'twice'")],
    ["check a b", misuse("'check' takes no 'a b'")],
    ["-frobnicate", misuse("unknown option '--frobnicate'")],
    ["-frobnicate=1", misuse("unknown option '--frobnicate'")],
    ["-config", misuse("--config")],
    ["-listen", misuse("--listen")],
    ["-max-retry -1", misuse("--max-retry")],
    ["-help=yes", misuse("--help")],
    ["login", { name: "login", isDevice: false, ...NOWHERE }],
    ["login --device", { name: "login", isDevice: true, ...NOWHERE }],
    ["-device login", { name: "login", isDevice: true, ...NOWHERE }],
    [
      "-config x.yaml login -device -auth-dir a",
      { name: "login", isDevice: true, configPath: "x.yaml", flags: { "auth-dir": "a" } },
    ],
    ["login now", misuse("'login' takes no 'now'")],
    ["login --device=yes", misuse("--device")],
    ["serve --device", misuse("'--device' belongs to 'login'")],
    ["--device", misuse("'--device' belongs to 'login'")],
    ["import a.json b -", { name: "import", paths: ["a.json", "b", "-"], ...NOWHERE }],
    [
      "import a.json -config x.yaml",
      { name: "import", paths: ["a.json"], configPath: "x.yaml", flags: {} },
    ],
    ["import", misuse("'import' needs the files or folders")],
    ["export out", { name: "export", dir: "out", ...NOWHERE }],
    ["-tojson out", { name: "export", dir: "out", ...NOWHERE }],
    ["--tojson=out -c x.yaml", { name: "export", dir: "out", configPath: "x.yaml", flags: {} }],
    ["-tojson", misuse("--tojson")],
    ["-tojson=", misuse("'export' needs one folder")],
    ["serve -tojson out", misuse("'-tojson' is a command of its own")],
    ["export", misuse("'export' needs one folder")],
    ["export a b", misuse("'export' needs one folder")],
    ["reseal", { name: "reseal", isPlain: false, ...NOWHERE }],
    ["-plain reseal", { name: "reseal", isPlain: true, ...NOWHERE }],
    ["reseal now", misuse("'reseal' takes no 'now'")],
    ["export out --plain", misuse("'--plain' belongs to 'reseal'")],
    ["doctor", { name: "doctor", isJson: false, mayRefresh: false, ...NOWHERE }],
    ["doctor --json -refresh", { name: "doctor", isJson: true, mayRefresh: true, ...NOWHERE }],
    ["check --json", misuse("'--json' belongs to 'doctor'")],
    ["--refresh", misuse("'--refresh' belongs to 'doctor'")],
    ["init", { name: "init", ...NOWHERE }],
    ["init -config a.yaml", { name: "init", configPath: "a.yaml", flags: {} }],
    ["setup", misuse("'setup' needs a client: codex, claude, opencode")],
    ["setup codx", misuse("did you mean 'codex'?")],
    ["setup cursor", misuse("'setup' knows no 'cursor'; it knows codex, claude, opencode")],
    ["setup codex claude", misuse("takes one client")],
    ["setup codex", setup("codex", false)],
    ["-write setup claude", setup("claude", true)],
    ["setup opencode --url=https://h:1/", setup("opencode", false, "https://h:1/")],
    ["setup codex --url h:1", misuse("'--url' takes an address")],
    ["setup codex --url https://user@h", misuse("'--url' takes an address")],
    ["login --write", misuse("'--write' belongs to 'setup'")],
    ["docter", misuse("there is no command 'docter'; did you mean 'doctor'?")],
  ];
  test.each(rows)("codex-proxy %s", (line, command) => {
    const words = line === "" ? [] : line.split(" ");
    expect<unknown>(readArguments(words, KEYS)).toEqual(command);
  });

  test("a path with spaces, and values that look like other things", () => {
    expect(readArguments(["-config", "my config.yaml"], KEYS)).toEqual(serve("my config.yaml"));
    expect(readArguments(["-admin-key=-c=x"], KEYS)).toEqual(
      serve(undefined, { "admin-key": "-c=x" }),
    );
  });

  test("a mistake is one sentence, without the parser's advice", () => {
    for (const words of [["-frobnicate"], ["-max-retry", "-1"], ["-config"], ["-help=yes"]]) {
      const command = readArguments(words, KEYS);
      expect(command.name === "misuse" ? command.message : "").toMatch(/^[^A-Z\n][^\n]*[^.\n]$/);
    }
  });

  test("every key of the configuration is a flag", () => {
    for (const key of KEYS) {
      expect(readArguments([`-${key}`, "1"], KEYS)).toEqual(serve(undefined, { [key]: "1" }));
    }
  });
});

test("HELP names the commands and the exit codes in lines that fit a terminal", () => {
  for (const word of [
    "serve",
    "check",
    "init",
    "reseal",
    "setup",
    "doctor",
    "version",
    "help",
    "-config",
    "Exit codes",
  ]) {
    expect(HELP).toContain(word);
  }
  expect(HELP.split("\n").every((line) => line.length <= 80)).toBe(true);
});
