import { describe, expect, test } from "bun:test";
import type { Socket } from "node:net";
import { createIntake } from "../../src/net/intake.ts";
import { openLink } from "../support/link.ts";
import { until } from "../support/until.ts";

/** Sends something by itself, and lets it arrive. */
async function say(socket: Socket, text: string): Promise<void> {
  await new Promise<void>((resolve) => socket.write(text, () => resolve()));
  await new Promise<void>((resolve) => setImmediate(resolve));
}

describe("createIntake", () => {
  test("takes what is wanted, however it comes, and leaves the rest", async () => {
    await using link = await openLink();
    const intake = createIntake(link.near);
    const taken = intake.take(3);
    for (const part of ["a", "bc", "defg"]) {
      await say(link.far, part);
    }
    expect(`${await taken}`).toBe("abc");
    expect(`${await intake.take(2)}`).toBe("de");
    expect(`${intake.release()}`).toBe("fg");
    expect(link.near.isPaused()).toBe(true);
  });

  test("takes a head whose mark comes in pieces", async () => {
    await using link = await openLink();
    const intake = createIntake(link.near);
    const head = intake.takeHead(1000);
    for (const part of ["HTTP/1.1 200 OK\r\nx: y", "\r", "\n\r", "\nrest"]) {
      await say(link.far, part);
    }
    expect(await head).toBe("HTTP/1.1 200 OK\r\nx: y");
    expect(`${intake.release()}`).toBe("rest");
  });

  test("a head that is too long is none, ended or not", async () => {
    for (const end of ["", "\r\n\r\n"]) {
      await using link = await openLink();
      link.far.write("x".repeat(101) + end);
      expect(await createIntake(link.near).takeHead(100)).toBeUndefined();
    }
  });

  test("what ends or breaks too early says so", async () => {
    await using ending = await openLink();
    ending.far.end("ab");
    expect(createIntake(ending.near).take(3)).rejects.toThrow("the connection ended");
    await using breaking = await openLink();
    const intake = createIntake(breaking.near);
    breaking.far.resetAndDestroy();
    expect(intake.take(1)).rejects.toThrow();
  });

  test("what came before the end can still be taken", async () => {
    await using link = await openLink();
    const intake = createIntake(link.near);
    link.far.end("abcd");
    expect(`${await intake.take(2)}`).toBe("ab");
    expect(`${await intake.take(2)}`).toBe("cd");
    expect(intake.take(1)).rejects.toThrow("the connection ended");
  });

  test("a flood that nobody wants stays outside", async () => {
    await using link = await openLink();
    const intake = createIntake(link.near);
    link.far.write(new Uint8Array(32 * 1024 * 1024));
    await until("it reads no further", () => link.near.isPaused());
    const held = intake.release().length;
    expect(held).toBeGreaterThan(64 * 1024);
    expect(held).toBeLessThan(1024 * 1024);
  });
});
