import { describe, expect, test } from "bun:test";
import { lifeOf, ourselves } from "../../src/store/owner.ts";

const IS_LINUX = process.platform === "linux";

describe("lifeOf", () => {
  test("this process lives, and says nothing about the machine in plain words", async () => {
    const us = await ourselves();
    expect(us.pid).toBe(process.pid);
    expect(us.place).toMatch(/^[0-9a-f]{16}$/);
    expect(await lifeOf(us)).toBe(IS_LINUX ? "alive" : "unknown");
  });

  test.skipIf(!IS_LINUX)("its number with another start is another process", async () => {
    const us = await ourselves();
    expect(us.start).toMatch(/^\d+$/);
    expect(await lifeOf({ ...us, start: "1" })).toBe("dead");
  });

  test("another place cannot be looked into", async () => {
    expect(await lifeOf({ ...(await ourselves()), place: "elsewhere" })).toBe("unknown");
  });

  test("a process that was killed is dead", async () => {
    const child = Bun.spawn([process.execPath, "-e", "setInterval(() => {}, 1000)"], {
      stdin: "ignore",
    });
    const { place } = await ourselves();
    const owner = { place, pid: child.pid, start: "" };
    expect(await lifeOf(owner)).not.toBe("dead");
    child.kill("SIGKILL");
    await child.exited;
    expect(await lifeOf(owner)).toBe("dead");
  });

  test.skipIf(!IS_LINUX)("one that nobody has buried yet is dead as well", async () => {
    // The shell's child ends; the shell, replaced by a program that never asks, leaves it a zombie.
    const parent = Bun.spawn(["sh", "-c", "sh -c 'echo $$' & exec sleep 30"], { stdout: "pipe" });
    const { value } = await parent.stdout.getReader().read();
    const pid = Number(new TextDecoder().decode(value));
    const { place } = await ourselves();
    let life = await lifeOf({ place, pid, start: "" });
    for (let look = 0; life !== "dead" && look < 1000; look++) {
      await new Promise((resolve) => setImmediate(resolve));
      life = await lifeOf({ place, pid, start: "" });
    }
    parent.kill("SIGKILL");
    expect(life).toBe("dead");
  });
});
