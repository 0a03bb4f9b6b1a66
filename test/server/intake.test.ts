import { describe, expect, test } from "bun:test";
import { brotliCompressSync, constants, deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import { readBody } from "../../src/server/intake.ts";
import { createManualClock } from "../support/clock.ts";

const WORDS = '{"model":"gpt-5.4","input":"grüß dich"}';
const PLAIN = new TextEncoder().encode(WORDS);
const MIB = 1024 * 1024;

const PACK: Record<string, (bytes: Uint8Array) => Uint8Array<ArrayBuffer>> = {
  gzip: (bytes) => new Uint8Array(gzipSync(bytes)),
  "x-gzip": (bytes) => new Uint8Array(gzipSync(bytes)),
  deflate: (bytes) => new Uint8Array(deflateSync(bytes)),
  br: (bytes) =>
    new Uint8Array(brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } })),
  zstd: (bytes) => new Uint8Array(Bun.zstdCompressSync(bytes)),
};

type Body = Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;

function requestOf(body: Body | undefined, headers: Record<string, string> = {}): Request {
  return new Request("http://localhost/v1/responses", {
    method: "POST",
    headers,
    ...(body === undefined ? {} : { body }),
  });
}

/** A body in many small pieces, without a length. */
function chunked(bytes: Uint8Array, size = 7): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull: (controller) => {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(at, at + size));
      at += size;
    },
  });
}

async function read(request: Request, limitBytes = MIB) {
  const intake = await readBody(request, { limitBytes, idleMs: 0 }, createManualClock(0));
  return intake.ok
    ? new TextDecoder().decode(intake.bytes)
    : `${intake.failure.status} ${intake.failure.code}`;
}

describe("readBody", () => {
  test("a plain body, with and without a length, whole and in pieces", async () => {
    expect(await read(requestOf(PLAIN))).toBe(WORDS);
    expect(await read(requestOf(PLAIN, { "content-length": `${PLAIN.length}` }))).toBe(WORDS);
    expect(await read(requestOf(chunked(PLAIN)))).toBe(WORDS);
    expect(await read(requestOf(PLAIN, { "content-encoding": "identity" }))).toBe(WORDS);
    expect(await read(requestOf(PLAIN, { "content-encoding": "" }))).toBe(WORDS);
  });

  test("no body is an empty one", async () => {
    expect(await read(requestOf(undefined))).toBe("");
    expect(await read(requestOf(new Uint8Array(0), { "content-length": "0" }))).toBe("");
    expect(await read(requestOf(undefined, { "content-encoding": "gzip" }))).toBe("");
  });

  test.each(Object.keys(PACK))("%s is undone, whole and in pieces", async (coding) => {
    const packed = PACK[coding]?.(PLAIN) ?? PLAIN;
    expect(await read(requestOf(packed, { "content-encoding": coding }))).toBe(WORDS);
    expect(await read(requestOf(packed, { "content-encoding": coding.toUpperCase() }))).toBe(WORDS);
    expect(await read(requestOf(chunked(packed), { "content-encoding": coding }))).toBe(WORDS);
  });

  test("deflate without the zlib wrapping, as some clients send it", async () => {
    const packed = new Uint8Array(deflateRawSync(PLAIN));
    expect(await read(requestOf(packed, { "content-encoding": "deflate" }))).toBe(WORDS);
  });

  test("two layers are undone in the right order", async () => {
    const gzip = PACK["gzip"]?.(PLAIN) ?? PLAIN;
    const both = PACK["zstd"]?.(gzip) ?? PLAIN;
    expect(await read(requestOf(both, { "content-encoding": "gzip, zstd" }))).toBe(WORDS);
    expect(await read(requestOf(both, { "content-encoding": "identity, gzip , ,zstd" }))).toBe(
      WORDS,
    );
    expect(await read(requestOf(both, { "content-encoding": "zstd, gzip" }))).toBe(
      "400 invalid_encoding",
    );
  });

  test.each(["compress", "lzma", "gzip, compress", "gzip, gzip, gzip", "constructor", "*"])(
    "%s is refused unread",
    async (coding) => {
      expect(await read(requestOf(PLAIN, { "content-encoding": coding }))).toBe(
        "415 unsupported_encoding",
      );
    },
  );

  test.each(Object.keys(PACK))("what is not really %s is the client's mistake", async (coding) => {
    const packed = PACK[coding]?.(PLAIN) ?? PLAIN;
    const encoding = { "content-encoding": coding };
    expect(await read(requestOf(PLAIN, encoding))).toBe("400 invalid_encoding");
    expect(await read(requestOf(new Uint8Array(0), { ...encoding, "content-length": "0" }))).toBe(
      "",
    );
    for (const cut of [1, 3, packed.length - 1]) {
      expect(await read(requestOf(packed.slice(0, cut), encoding))).toBe("400 invalid_encoding");
    }
  });

  test("a declared length beyond the limit is refused without reading", async () => {
    let pulls = 0;
    const body = new ReadableStream<Uint8Array>(
      {
        pull: () => {
          pulls += 1;
        },
      },
      { highWaterMark: 0 },
    );
    expect(await read(requestOf(body, { "content-length": "2000000" }))).toBe(
      "413 request_too_large",
    );
    expect(pulls).toBe(0);
  });

  test("the limit is exact, whatever way the body comes", async () => {
    for (const more of [{ "content-length": "1000" }, {}] as const) {
      expect(await read(requestOf(new Uint8Array(1000), more), 1000)).toHaveLength(1000);
      expect(await read(requestOf(new Uint8Array(1000), more), 999)).toBe("413 request_too_large");
    }
    expect(await read(requestOf(chunked(new Uint8Array(1000))), 1000)).toHaveLength(1000);
    expect(await read(requestOf(chunked(new Uint8Array(1000))), 999)).toBe("413 request_too_large");
    const packed = PACK["gzip"]?.(new Uint8Array(1000)) ?? PLAIN;
    const encoding = { "content-encoding": "gzip" };
    expect(await read(requestOf(packed, encoding), 1000)).toHaveLength(1000);
    expect(await read(requestOf(packed, encoding), 999)).toBe("413 request_too_large");
  });

  test("an endless body is left at the limit", async () => {
    let pulls = 0;
    let isCancelled = false;
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        pulls += 1;
        controller.enqueue(new Uint8Array(1000));
      },
      cancel: () => {
        isCancelled = true;
      },
    });
    expect(await read(requestOf(endless), 10_000)).toBe("413 request_too_large");
    expect(pulls).toBeLessThan(20);
    expect(isCancelled).toBe(true);
  });

  test.each(Object.keys(PACK))(
    "a %s bomb is stopped at the limit, in bounded memory",
    async (coding) => {
      const bomb = PACK[coding]?.(new Uint8Array(400 * MIB)) ?? PLAIN;
      expect(bomb.length).toBeLessThan(2 * MIB);
      Bun.gc(true);
      const before = process.memoryUsage.rss();
      expect(await read(requestOf(bomb, { "content-encoding": coding }), 2 * MIB)).toBe(
        "413 request_too_large",
      );
      expect(process.memoryUsage.rss() - before).toBeLessThan(100 * MIB);
    },
  );

  test("a bomb inside a bomb", async () => {
    const inner = PACK["gzip"]?.(new Uint8Array(100 * MIB)) ?? PLAIN;
    const outer = PACK["zstd"]?.(inner) ?? PLAIN;
    expect(await read(requestOf(outer, { "content-encoding": "gzip, zstd" }))).toBe(
      "413 request_too_large",
    );
  });

  test("a client that goes away rejects", async () => {
    const broken = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.error(new Error("the connection was reset")),
    });
    const limits = { limitBytes: MIB, idleMs: 1000 };
    const reading = readBody(requestOf(broken), limits, createManualClock(0));
    expect(await reading.catch(String)).toContain("reset");
  });
});

describe("a body that comes slowly", () => {
  const IDLE_MS = 10_000;
  // 4 KiB a second, in the time that one piece adds.
  const PIECE = new Uint8Array(4096);
  const SECOND = 1000;

  /** A body that gets its pieces by hand, and what became of reading it. */
  function slowly(headers: Record<string, string> = {}, idleMs = IDLE_MS) {
    const clock = createManualClock(0);
    let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
    let isCancelled = false;
    const body = new ReadableStream<Uint8Array>({
      start: (given) => {
        controller = given;
      },
      cancel: () => {
        isCancelled = true;
      },
    });
    let state = "reading";
    const limits = { limitBytes: MIB, idleMs };
    const reading = readBody(requestOf(body, headers), limits, clock).then((intake) => {
      state = intake.ok ? `${intake.bytes.length} bytes` : `${intake.failure.status}`;
      return intake;
    });
    return {
      clock,
      reading,
      isCancelled: () => isCancelled,
      send: async (bytes: Uint8Array = PIECE) => {
        controller?.enqueue(bytes);
        await settle();
      },
      end: () => controller?.close(),
      state: async () => {
        await settle();
        return state;
      },
    };
  }
  const settle = () => new Promise((resolve) => setImmediate(resolve));

  test("that stands still is answered with 408 after its time, and not before", async () => {
    const { clock, state, reading } = slowly();
    clock.advance(IDLE_MS - 1);
    expect(await state()).toBe("reading");
    clock.advance(1);
    expect(await state()).toBe("408");
    const { failure } = { failure: undefined, ...(await reading) };
    expect(failure).toMatchObject({ kind: "bad-request", code: "request_timeout" });
    expect(String(failure?.message)).toContain("listen-idle-timeout-sec");
  });

  test("that comes by drops is too slow all the same", async () => {
    const { clock, state, send } = slowly();
    for (let second = 0; second < 10; second++) {
      await send(new Uint8Array(1));
      clock.advance(SECOND);
    }
    clock.advance(10);
    expect(await state()).toBe("408");
  });

  test("has a second more for each 4 KiB that have come", async () => {
    const { clock, state, send, end } = slowly();
    for (let second = 0; second < 60; second++) {
      await send();
      clock.advance(SECOND);
    }
    expect(await state()).toBe("reading");
    clock.advance(IDLE_MS - 1);
    expect(await state()).toBe("reading");
    end();
    expect(await state()).toBe(`${60 * PIECE.length} bytes`);
  });

  test("that then stands still has no more than it has earned", async () => {
    const { clock, state, send } = slowly();
    await send();
    clock.advance(IDLE_MS);
    expect(await state()).toBe("reading");
    clock.advance(SECOND);
    expect(await state()).toBe("408");
  });

  test("whose size was announced has the time for that size", async () => {
    const { clock, state } = slowly({ "content-length": String(5 * PIECE.length) });
    clock.advance(IDLE_MS + 5 * SECOND - 1);
    expect(await state()).toBe("reading");
    clock.advance(1);
    expect(await state()).toBe("408");
  });

  test("is not read on after that: its next bytes are the last", async () => {
    const { clock, state, send, isCancelled } = slowly();
    clock.advance(IDLE_MS);
    expect(await state()).toBe("408");
    await send();
    expect(isCancelled()).toBe(true);
  });

  test("may take for ever where there is no limit", async () => {
    const { clock, state, end } = slowly({}, 0);
    clock.advance(1e9);
    expect(await state()).toBe("reading");
    end();
    expect(await state()).toBe("0 bytes");
  });

  test("leaves no timer behind once it is there", async () => {
    const { clock, state, send, end } = slowly();
    await send();
    end();
    expect(await state()).toBe("4096 bytes");
    clock.advance(1e9);
    expect(await state()).toBe("4096 bytes");
  });
});
