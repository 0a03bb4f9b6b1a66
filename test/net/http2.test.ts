import { afterEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Outgoing } from "../../src/net/egress.ts";
import { createHttp2 } from "../../src/net/http2.ts";
import { codeOf } from "../../src/net/trouble.ts";
import { listen, NOON } from "../engine/parts.ts";
import { createAuthority } from "../support/certificates.ts";
import { createManualClock } from "../support/clock.ts";
import { openEgress } from "../support/egress.ts";
import { CODE, type H2Server, type Stream, startH2 } from "../support/h2-server.ts";
import { freePort } from "../support/listener.ts";
import { until } from "../support/until.ts";

const MINUTE = 60_000;
const URL_OF = "https://backend.test/codex/responses";
const coded = (code: string) => Object.assign(new Error("No."), { code });

/** HTTP/2 with a server that answers as the test says, per protocol: a code is a failure. */
function stage() {
  const clock = createManualClock(NOON);
  const { log, lines } = listen();
  const server: { h2: string | undefined; h1: string | undefined } = {
    h2: undefined,
    h1: undefined,
  };
  const scene: { isEnabled: boolean; obstacle: string | undefined; chance: number } = {
    isEnabled: true,
    obstacle: undefined,
    chance: 1,
  };
  const asked: string[] = [];
  const http2 = createHttp2({
    ask: async (_url, request) => {
      const isNew = request.protocol === "http2";
      asked.push(isNew ? "h2" : "h1");
      const code = isNew ? server.h2 : server.h1;
      if (code !== undefined) throw coded(code);
      return new Response("answered");
    },
    isEnabled: () => scene.isEnabled,
    obstacle: () => scene.obstacle,
    clock,
    log,
    chance: () => scene.chance,
  });
  /** By which protocols a request was tried, and what came of it. */
  const ask = async (more: Partial<Outgoing> = {}): Promise<string> => {
    asked.length = 0;
    const { signal } = new AbortController();
    const outcome = await http2
      .ask(URL_OF, { headers: {}, signal, proxy: undefined, ...more })
      .then(
        ({ status }) => String(status),
        (cause: unknown) => codeOf(cause) ?? "unknown",
      );
    return [...asked, outcome].join(" ");
  };
  const warnings = () => lines.map(({ level, facts }) => `${level} ${facts}`);
  return { clock, scene, server, http2, ask, lines, warnings };
}

describe("HTTP/2", () => {
  test("is spoken where the server does, and connections are shared as soon as that is known", async () => {
    const { http2, ask } = stage();
    expect(http2.isShared({})).toBe(false);
    expect(await ask()).toBe("h2 200");
    expect(http2.isShared({})).toBe(true);
    expect(await ask({ isShared: true })).toBe("h2 200");
  });

  test.each([
    ["it is switched off", { isEnabled: false }],
    ["something is in its way", { obstacle: "base-url is not https" }],
  ])("is not spoken where %s", async (_name, change) => {
    const { http2, ask, scene } = stage();
    await ask();
    Object.assign(scene, change);
    expect([await ask(), http2.isShared({})]).toEqual(["h1 200", false]);
    // One that has no right to a connection of its own is given back.
    expect(await ask({ isShared: true })).toBe("HTTP2Unsupported");
    Object.assign(scene, { isEnabled: true, obstacle: undefined });
    expect(await ask()).toBe("h2 200");
  });

  test("says once what is in its way, where it is wanted", () => {
    const { http2, scene, warnings } = stage();
    scene.isEnabled = false;
    scene.obstacle = "base-url is not https";
    http2.announce();
    expect(warnings()).toEqual([]);
    scene.isEnabled = true;
    http2.announce();
    http2.announce();
    expect(warnings()).toEqual(['info {"reason":"base-url is not https"}']);
    scene.obstacle = undefined;
    http2.announce();
    scene.obstacle = "proxy-url is set";
    http2.announce();
    expect(warnings()).toHaveLength(2);
  });

  test.each(["HTTP2Unsupported", "EPROTO"])(
    "gives way to HTTP/1.1 where the server says %s, for ten minutes and with one line",
    async (code) => {
      const { http2, ask, server, clock, lines } = stage();
      server.h2 = code;
      expect([await ask(), await ask(), http2.isShared({})]).toEqual([
        "h2 h1 200",
        "h1 200",
        false,
      ]);
      clock.advance(10 * MINUTE);
      expect([await ask(), await ask()]).toEqual(["h2 h1 200", "h1 200"]);
      expect(lines).toHaveLength(1);
      server.h2 = undefined;
      clock.advance(10 * MINUTE);
      expect([await ask(), http2.isShared({})]).toEqual(["h2 200", true]);
    },
  );

  test("is not given up for a handshake that fails in any case", async () => {
    const { ask, server, lines } = stage();
    server.h2 = "EPROTO";
    server.h1 = "EPROTO";
    expect([await ask(), await ask(), lines]).toEqual(["h2 h1 EPROTO", "h2 h1 EPROTO", []]);
  });

  test("that the server has forgotten meanwhile gives back what shares a connection", async () => {
    const { http2, ask, server } = stage();
    await ask();
    server.h2 = "EPROTO";
    expect([await ask({ isShared: true }), http2.isShared({})]).toEqual([
      "h2 HTTP2Unsupported",
      false,
    ]);
    expect(await ask()).toBe("h2 h1 200");
  });

  test.each(["HTTP2RefusedStream", "HTTP2StreamReset", "ECONNRESET", "ECONNREFUSED"])(
    "stays after %s, which is told",
    async (code) => {
      const { http2, ask, server, lines } = stage();
      await ask();
      server.h2 = code;
      expect(await ask({ isShared: true })).toBe(`h2 ${code}`);
      expect([http2.isShared({}), lines]).toEqual([true, []]);
    },
  );
});

describe("after a GOAWAY with an error", () => {
  test("HTTP/1.1 is used for a while, and the pause doubles with each that follows soon", async () => {
    const { http2, ask, server, clock, warnings } = stage();
    await ask();
    for (const seconds of [30, 60, 120, 240, 480, 960, 1800, 1800]) {
      server.h2 = "HTTP2GoAway";
      expect(await ask()).toBe("h2 HTTP2GoAway");
      // Others are broken by the same.
      http2.broken(coded("HTTP2GoAway"));
      server.h2 = undefined;
      clock.advance(seconds * 1000 - 1);
      expect([await ask(), http2.isShared({})]).toEqual(["h1 200", false]);
      clock.advance(1);
      expect([await ask(), http2.isShared({})]).toEqual(["h2 200", true]);
      expect(warnings().at(-1)).toBe(`warn ${JSON.stringify({ code: "HTTP2GoAway", seconds })}`);
    }
    expect(warnings()).toHaveLength(8);
    // After as long a time of peace it begins anew.
    clock.advance(1800 * 1000);
    server.h2 = "HTTP2GoAway";
    await ask();
    expect(warnings().at(-1)).toContain('"seconds":30}');
  });

  test("the pause is the same for no two", async () => {
    const { scene, http2, warnings } = stage();
    scene.chance = 0;
    http2.broken(coded("HTTP2GoAway"));
    expect(warnings()).toEqual(['warn {"code":"HTTP2GoAway","seconds":23}']);
  });

  test("what has a share of a connection already may still use it", async () => {
    const { http2, ask } = stage();
    await ask();
    http2.broken(coded("HTTP2GoAway"));
    expect([await ask({ isShared: true }), await ask()]).toEqual(["h2 200", "h1 200"]);
    expect(http2.isShared({})).toBe(false);
  });

  test("a clock that is set back does not make the pause longer", async () => {
    const { http2, ask, clock } = stage();
    http2.broken(coded("HTTP2GoAway"));
    clock.advance(-86_400_000);
    expect(await ask()).toBe("h2 200");
  });

  test("it is no other break that counts", async () => {
    const { http2, ask, lines } = stage();
    await ask();
    for (const cause of [coded("ECONNRESET"), new Error("AbortError"), "odd", undefined]) {
      http2.broken(cause);
    }
    expect([http2.isShared({}), lines]).toEqual([true, []]);
  });
});

describe("with a real server", () => {
  let server: H2Server | undefined;
  afterEach(() => server?.stop());

  /** A server of the test's own, and HTTP/2 with it by the real way out. `onRequest` is told how many came before. */
  const begin = async (
    onRequest: (stream: Stream, before: number) => void,
    options: { readonly maxStreams?: number } = {},
  ) => {
    let before = 0;
    const own = await startH2((stream) => onRequest(stream, before++), options);
    server = own;
    const clock = createManualClock(NOON);
    const { log, lines } = listen();
    const http2 = createHttp2({
      ask: openEgress({ authorities: own.authority }).ask,
      isEnabled: () => true,
      obstacle: () => undefined,
      clock,
      log,
      chance: () => 1,
    });
    /** The whole answer, or what broke it. */
    const ask = async (signal = new AbortController().signal): Promise<string> => {
      let text = "";
      try {
        const request = {
          method: "POST",
          headers: {},
          body: "words",
          signal,
          proxy: undefined,
        } as const;
        const answer = await http2.ask(own.url, request);
        const decoder = new TextDecoder();
        for await (const bytes of answer.body ?? []) text += decoder.decode(bytes);
        return text;
      } catch (cause) {
        if (text !== "") http2.broken(cause);
        return `${text}${signal.aborted ? "aborted" : codeOf(cause)}`;
      }
    };
    return { own, clock, http2, ask, lines };
  };
  const answer = (stream: Stream): void => stream.answer("all", true);

  test("streams share a connection", async () => {
    const { ask, own } = await begin(answer);
    await ask();
    expect(await Promise.all([ask(), ask(), ask()])).toEqual(["all", "all", "all"]);
    expect([own.connections(), own.streams()]).toEqual([1, 4]);
  });

  test("no more streams are put on a connection than the server allows, and none is lost", async () => {
    const waiting: Stream[] = [];
    const { ask, own } = await begin(
      (stream, before) => {
        waiting.push(stream);
        // The first alone, so that the others know the server's settings.
        if (before === 0 || waiting.length === 25)
          for (const each of waiting.splice(0)) answer(each);
      },
      { maxStreams: 5 },
    );
    await ask();
    const all = await Promise.all(Array.from({ length: 25 }, () => ask()));
    expect(new Set(all)).toEqual(new Set(["all"]));
    expect(own.streams()).toBe(26);
    expect(own.mostOpen()).toBe(5);
  });

  test("a graceful GOAWAY lets streams end, and the next one goes elsewhere", async () => {
    const { ask, own, http2, lines } = await begin((stream, before) => {
      if (before > 0) return answer(stream);
      stream.answer("half ", false);
      stream.goAway(stream.id, CODE.none);
      setImmediate(() => stream.data("whole", true));
    });
    expect([await ask(), await ask()]).toEqual(["half whole", "all"]);
    expect([own.connections(), http2.isShared({}), lines]).toEqual([2, true, []]);
  });

  test("what a graceful GOAWAY leaves out is sent again by the runtime, on another connection", async () => {
    const { ask, own } = await begin((stream, before) =>
      before === 0 ? stream.goAway(0, CODE.none) : answer(stream),
    );
    expect([await ask(), own.connections(), own.streams()]).toEqual(["all", 2, 2]);
  });

  test.each([
    ["before an answer", "", (stream: Stream) => stream.goAway(0, CODE.calm)],
    ["of what it has perhaps seen", "", (stream: Stream) => stream.goAway(stream.id, CODE.calm)],
    [
      "in the midst of an answer",
      "half ",
      (stream: Stream) => {
        stream.answer("half ", false);
        setTimeout(() => stream.goAway(stream.id, CODE.calm), 5);
      },
    ],
  ])("ENHANCE_YOUR_CALM %s ends the stream, and HTTP/1.1 is next", async (_when, text, end) => {
    const { ask, http2, lines } = await begin(end);
    expect(await ask()).toBe(`${text}HTTP2GoAway`);
    expect([http2.isShared({}), lines.length]).toEqual([false, 1]);
    // The server speaks nothing else.
    expect(await ask()).not.toContain("HTTP2");
  });

  test("a refused stream is tried again by the runtime, and in the end told", async () => {
    const { ask, own } = await begin((stream, before) =>
      before === 0 ? stream.reset(CODE.refused) : answer(stream),
    );
    expect([await ask(), own.streams()]).toEqual(["all", 2]);
    own.stop();
    const never = await begin((stream) => stream.reset(CODE.refused));
    expect(await never.ask()).toBe("HTTP2RefusedStream");
    expect(never.own.streams()).toBe(6);
  });

  const NGHTTPD = Bun.which("nghttpd");
  // Debian has it as nghttp2-server.
  test.skipIf(NGHTTPD === null)("that is nghttpd, it works as well", async () => {
    const dir = await mkdtemp(join(tmpdir(), "codex-proxy-nghttpd-"));
    const authority = createAuthority();
    const { cert, key } = authority.issue(["localhost"]);
    await writeFile(join(dir, "key.pem"), key, { mode: 0o600 });
    await writeFile(join(dir, "cert.pem"), cert);
    const port = await freePort();
    const words = ["--echo-upload", "-d", dir, "-a", "127.0.0.1", "-m", "10", String(port)];
    const child = Bun.spawn(
      [NGHTTPD ?? "", ...words, join(dir, "key.pem"), join(dir, "cert.pem")],
      {
        stdout: "ignore",
        stderr: "ignore",
      },
    );
    try {
      const http2 = createHttp2({
        ask: openEgress({ authorities: authority.certificate }).ask,
        isEnabled: () => true,
        obstacle: () => undefined,
        clock: createManualClock(NOON),
        log: listen().log,
        chance: () => 1,
      });
      const url = `https://localhost:${port}/echo`;
      const post = async (body: string): Promise<string> => {
        const { signal } = new AbortController();
        return (
          await http2.ask(url, { method: "POST", headers: {}, body, signal, proxy: undefined })
        ).text();
      };
      await until("it listens", () =>
        post("first").then(
          (text) => text === "first",
          () => false,
        ),
      );
      expect(http2.isShared({})).toBe(true);
      const bodies = Array.from({ length: 40 }, (_, at) => `${at} `.repeat(10_000));
      expect(await Promise.all(bodies.map(post))).toEqual(bodies);
    } finally {
      child.kill();
      await child.exited;
      await rm(dir, { recursive: true, force: true });
    }
  });

  test("a reset stream is told, and was sent once", async () => {
    const { ask, own, lines } = await begin((stream) => stream.reset(CODE.calm));
    expect([await ask(), own.streams(), lines]).toEqual(["HTTP2StreamReset", 1, []]);
  });

  test("a connection that only seems to be there is given up with the first stream on it that is", async () => {
    const { ask, own } = await begin(answer);
    await ask();
    own.forget();
    // The runtime suspects a connection on which a stream was given up after a second without a byte.
    expect(await ask(AbortSignal.timeout(1200))).toBe("aborted");
    expect([await ask(), own.connections()]).toEqual(["all", 2]);
  });

  test("one that the server has ended while nobody used it is not used again", async () => {
    const { ask, own } = await begin((stream) => {
      answer(stream);
      stream.goAway(stream.id, CODE.none);
      stream.hangUp();
    });
    expect([await ask(), await ask(), own.streams()]).toEqual(["all", "all", 2]);
  });
});
