import { describe, expect, test } from "bun:test";
import { openBody } from "../../../src/platform/node/body.ts";
import type { BodyOutlet } from "../../../src/platform/platform.ts";

const bytes = (size: number): Uint8Array => new Uint8Array(size);

/** A body whose outlet the test has in its hands. */
function held() {
  const begun = Promise.withResolvers<BodyOutlet>();
  const end = Promise.withResolvers<void>();
  let cancels = 0;
  const body = openBody({
    pull: (to) => {
      begun.resolve(to);
      return end.promise;
    },
    cancel: () => {
      cancels += 1;
    },
  });
  return { body, outlet: begun.promise, end, cancels: () => cancels };
}

describe("a body that writes itself", () => {
  test("is what was written, and ends when it is closed", async () => {
    const { body, outlet, end } = held();
    const to = await outlet;
    expect(to.write(bytes(3))).toBe(3);
    to.write(bytes(4));
    to.flush();
    to.close();
    end.resolve();
    expect((await new Response(body).bytes()).byteLength).toBe(7);
  });

  test("has room for so much, and tells when there is room again", async () => {
    const { body, outlet } = held();
    const to = await outlet;
    expect(to.write(bytes(60_000))).toBe(60_000);
    const full = to.write(bytes(60_000));
    expect(full).toBeInstanceOf(Promise);
    const reader = body.getReader();
    await reader.read();
    await reader.read();
    expect(await full).toBe(60_000);
    expect(to.write(bytes(1))).toBe(1);
  });

  test("breaks off where its writing does, and not before what was written", async () => {
    const { body, outlet, end } = held();
    const to = await outlet;
    to.write(bytes(1));
    to.write(bytes(2));
    end.reject(new Error("broken"));
    await end.promise.catch(() => {});
    const reader = body.getReader();
    expect((await reader.read()).value).toHaveLength(1);
    expect((await reader.read()).value).toHaveLength(2);
    expect(reader.read()).rejects.toThrow("broken");
  });

  test("that nobody takes any more says so once, lets the waiting go on, and swallows the rest", async () => {
    const { body, outlet, end, cancels } = held();
    const to = await outlet;
    const full = to.write(bytes(100_000));
    await body.cancel();
    expect(await full).toBe(100_000);
    expect(to.write(bytes(5))).toBe(0);
    to.close();
    end.reject(new Error("too late"));
    expect(cancels()).toBe(1);
  });
});
