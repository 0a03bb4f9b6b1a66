import { describe, expect, test } from "bun:test";
import { chmod, copyFile, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeFolder } from "../../store/folder.ts";

const LAUNCHER = join(import.meta.dirname, "../../../scripts/release/linux-386-launcher.sh");

/** Stands for the loader: tells what it was started with, an argument a line, and what descriptor 9 is. */
const LOADER = `#!/bin/sh
[ "$1" = --version ] && exit 0
printf '%s\\n' "$@"
[ -e /proc/self/fd/9/ld-linux.so.2 ] && echo "9 is the runtime's folder"
echo "NODE_OPTIONS=$NODE_OPTIONS LD_LIBRARY_PATH=$LD_LIBRARY_PATH"
echo "pid $$"
`;

/** The launcher with its runtime, unpacked in a folder with a name that is hard on scripts. */
async function unpack(): Promise<{ root: string; program: string }> {
  const root = makeFolder();
  const folder = join(root, "ä ö:$x;漢'字");
  const runtime = join(folder, "codex-proxy-runtime");
  await mkdir(runtime, { recursive: true });
  const program = join(folder, "codex-proxy");
  await copyFile(LAUNCHER, program);
  await writeFile(join(runtime, "ld-linux.so.2"), LOADER);
  await chmod(program, 0o755);
  await chmod(join(runtime, "ld-linux.so.2"), 0o755);
  await mkdir(join(root, "bin"));
  await sayMachine(root, "i686");
  return { root, program };
}

/** Makes `uname` of this test say that the machine is of this kind. */
async function sayMachine(root: string, machine: string): Promise<void> {
  await writeFile(join(root, "bin", "uname"), `#!/bin/sh\necho ${machine}\n`);
  await chmod(join(root, "bin", "uname"), 0o755);
}

async function run(root: string, command: readonly string[], cwd = root) {
  const child = Bun.spawn([...command], {
    cwd,
    env: {
      PATH: `${join(root, "bin")}:${process.env["PATH"] ?? ""}`,
      NODE_OPTIONS: "--bogus",
      LD_LIBRARY_PATH: "kept",
    },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { stdout, stderr, code, pid: child.pid };
}

/** What the loader tells when all is well. */
function told(argv0: string, args: readonly string[], pid: number): string {
  return [
    "--inhibit-cache",
    "--library-path",
    "/proc/self/fd/9",
    "--argv0",
    argv0,
    "/proc/self/fd/9/node",
    "--require",
    "/proc/self/fd/9/name.cjs",
    "--use-bundled-ca",
    "/proc/self/fd/9/codex-proxy.cjs",
    ...args,
    "9 is the runtime's folder",
    "NODE_OPTIONS= LD_LIBRARY_PATH=kept",
    `pid ${pid}`,
    "",
  ].join("\n");
}

describe.skipIf(process.platform !== "linux")("the launcher", () => {
  test("becomes the program, with its folder on descriptor 9 and the user's arguments as they were", async () => {
    const { root, program } = await unpack();
    const args = ["-config", "a b.yaml", "", "*", "--", "-version"];
    const { stdout, stderr, code, pid } = await run(root, [program, ...args]);
    expect({ stdout, stderr, code }).toEqual({
      stdout: told(program, args, pid),
      stderr: "",
      code: 0,
    });
  });

  test("finds its folder through symbolic links, relative and absolute, and from any folder", async () => {
    const { root, program } = await unpack();
    await symlink(program, join(root, "absolute"));
    await symlink("../absolute", join(root, "bin", "relative"));
    const linked = await run(root, ["./relative", "-version"], join(root, "bin"));
    expect(linked.stdout).toBe(told("./relative", ["-version"], linked.pid));
    const byShell = await run(root, ["sh", "codex-proxy"], join(program, ".."));
    expect(byShell.stdout).toBe(told("codex-proxy", [], byShell.pid));
  });

  test("without its folder says what belongs together", async () => {
    const { root, program } = await unpack();
    const copy = join(root, "bin", "codex-proxy");
    await copyFile(program, copy);
    const { stdout, stderr, code } = await run(root, [copy]);
    expect({ stdout, code }).toEqual({ stdout: "", code: 1 });
    expect(stderr).toStartWith(
      `codex-proxy: the folder '${join(root, "bin")}/codex-proxy-runtime' is missing: keep it and this file together`,
    );
  });

  test("on a machine of another kind names that kind", async () => {
    const { root, program } = await unpack();
    await sayMachine(root, "aarch64");
    const { stderr, code } = await run(root, [program]);
    expect({ stderr, code }).toEqual({
      stderr:
        "codex-proxy: this is the build for 32-bit x86, and this machine is aarch64: take the zip for that\n",
      code: 1,
    });
  });

  test("whose loader cannot be run says what may be the reason", async () => {
    const { root, program } = await unpack();
    await chmod(join(program, "../codex-proxy-runtime/ld-linux.so.2"), 0o644);
    const { stderr, code } = await run(root, [program]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^codex-proxy: '.*ld-linux.so.2' cannot be run: .*noexec/);
  });

  test("works where there is no uname", async () => {
    const { root, program } = await unpack();
    await writeFile(join(root, "bin", "uname"), "#!/bin/sh\nexit 127\n");
    await chmod(join(root, "bin", "uname"), 0o755);
    const { stdout, pid } = await run(root, [program]);
    expect(stdout).toBe(told(program, [], pid));
  });
});
